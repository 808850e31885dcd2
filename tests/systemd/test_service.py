"""Runwire as a service of a real systemd: start, reload, restart, crash, watchdog, stop, removal."""

from __future__ import annotations

import json

import pytest

from tests.systemd.asking import WAIT_S, run, wait, wait_property
from tests.systemd.machine import JOBS, Machine

pytestmark = pytest.mark.systemd

SOCKET = "/run/runwire/runwire.sock"


def test_start_returns_when_it_serves_and_says_how_it_is(service: Machine) -> None:
    assert service.property("ActiveState") == "active"
    assert service.property("StatusText") == "0 running, 0 queued"
    ready = json.loads(service.get("/readyz"))
    assert ready == {"ready": True, "problems": [], "tracking": "cgroup"}


def test_runs_are_those_of_the_services_user_in_groups_of_their_own(service: Machine) -> None:
    done = service.output(
        service.program, "run", "--socket", SOCKET, "--shell", "id -un; cat /proc/self/cgroup"
    )
    assert done.splitlines()[0] == "runwire"
    assert "/runwire.service/runwire-" in done


def test_the_command_line_of_root_finds_it_by_itself(service: Machine) -> None:
    assert service.runwire("run", "hello") == "hello from Runwire\n"


def test_the_status_tells_what_runs(service: Machine) -> None:
    run_id = service.runwire("submit", "--", "sleep", "600").strip()
    wait(service, run_id, "running")
    earlier = ("0 running, 0 queued", "0 running, 1 queued")
    assert wait_property(service, "StatusText", *earlier) == "1 running, 0 queued"


def test_reload_waits_until_the_file_is_in_effect_and_refuses_mistakes(service: Machine) -> None:
    pid = service.property("MainPID")
    with service.jobs_as_before():
        service.run("sh", "-c", f"printf '[jobs.later]\\ncommand = [\"true\"]\\n' >> {JOBS}")
        service.run("systemctl", "reload", "runwire.service")
        assert '"later"' in service.get("/jobs")
        service.run("sh", "-c", f"echo nonsense >> {JOBS}")
        assert service.run("systemctl", "reload", "runwire.service", check=False).returncode != 0
        assert '"later"' in service.get("/jobs")
        assert service.property("ActiveState") == "active"
        assert service.property("MainPID") == pid


def test_nobody_is_refused_while_it_restarts(service: Machine) -> None:
    """Whoever connects meanwhile waits in the socket, TCP or Unix, and is answered."""
    script = (
        "for n in $(seq 60); do curl -sS -o /dev/null --max-time 60 http://127.0.0.1:4000/healthz"
        f" && curl -sS -o /dev/null --max-time 60 --unix-socket {SOCKET} http://x/healthz"
        " || { echo refused $n; exit 1; }; sleep 0.02; done; echo all answered"
    )
    with service.start("sh", "-c", script) as asking:
        pid = service.property("MainPID")
        service.run("systemctl", "restart", "runwire.service")
        assert service.property("MainPID") != pid
        said, errors = asking.communicate(timeout=2 * WAIT_S)
    assert (said, errors) == ("all answered\n", "")


def test_a_request_starts_it(machine: Machine) -> None:
    machine.run("systemctl", "stop", "runwire.service")
    machine.run("systemctl", "start", "runwire.socket")
    assert machine.property("ActiveState") == "inactive"
    assert json.loads(machine.get("/healthz")) == {"status": "ok"}
    machine.run("systemctl", "stop", "runwire.service", "runwire.socket")


def test_stop_lets_runs_end_properly_and_takes_the_time_that_they_need(service: Machine) -> None:
    """Longer than TimeoutStopSec: the service says that it is at it."""
    slow = (
        "trap 'sleep 5; echo done properly; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    )
    with service.setting("TimeoutStopSec=3s"):
        run_id = service.runwire("submit", "--grace", "30s", "--shell", slow).strip()
        wait(service, run_id, "running")
        service.run(
            "sh",
            "-c",
            f"until {service.program} logs {run_id} | grep -q ready; do sleep 0.05; done",
        )
        service.run("systemctl", "stop", "runwire.service")
        assert service.property("Result") == "success"
        service.run("systemctl", "start", "runwire.service")
        assert run(service, run_id)["status"] == "cancelled"
        assert "done properly" in service.runwire("logs", run_id)


def test_a_wrong_file_keeps_it_from_starting_and_the_journal_says_why(service: Machine) -> None:
    with service.jobs_as_before():
        service.run("systemctl", "stop", "runwire.service")
        service.run("sh", "-c", f"echo nonsense >> {JOBS}")
        assert service.run("systemctl", "start", "runwire.service", check=False).returncode != 0
        assert JOBS in service.journal()


def test_it_is_undone_cleanly(machine: Machine) -> None:
    """What people have written stays; installing again brings it back."""
    machine.run("systemctl", "start", "runwire.socket", "runwire.service")
    said = machine.runwire("uninstall-service")
    assert "remove /etc/systemd/system/runwire.service" in said
    left = machine.output(
        "sh", "-c", "find /etc/systemd /etc/sysusers.d /etc/tmpfiles.d -name '*runwire*'"
    )
    assert left == ""
    assert machine.property("LoadState") == "not-found"
    assert "hello" in machine.output("cat", JOBS)
    assert machine.run(machine.program, "uninstall-service", check=False).returncode == 66
    machine.runwire("install-service", "--now")
    assert machine.property("ActiveState") == "active"
    machine.run("systemctl", "disable", "--now", "runwire.service", "runwire.socket")
