"""Runs of a service outlive its restarts and crashes, and end when it is stopped."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.systemd.asking import (
    ENDED,
    WAIT_S,
    all_numbers,
    numbers,
    run,
    wait,
    wait_nothing_kept,
    wait_property,
)
from tests.systemd.machine import Machine

pytestmark = pytest.mark.systemd


def fall(service: Machine, how: str) -> None:
    """Have the server fall that way, and another one take its place."""
    main = service.property("MainPID")
    if how == "restart":
        service.run("systemctl", "restart", "runwire.service")
    else:
        service.run("kill", f"-{how}", main)
        wait_property(service, "MainPID", main, "0")
    service.run("sh", "-c", "until systemctl is-active -q runwire.service; do sleep 0.05; done")


@pytest.mark.parametrize("how", ["restart", "KILL", "ABRT", "STOP"])
def test_a_run_goes_on_and_who_watches_misses_nothing(service: Machine, how: str) -> None:
    """STOP is a server that hangs: the watchdog has it killed, and nobody else."""
    with service.setting("WatchdogSec=4s" if how == "STOP" else ""):
        service.run("systemctl", "restart", "runwire.service")
        go = f"/tmp/go-{how}"
        run_id = service.runwire("submit", "--shell", numbers(go)).strip()
        pid = wait(service, run_id, "running")["pid"]
        with service.start(service.program, "logs", "-f", run_id) as watching:
            fall(service, how)
            now = run(service, run_id)
            assert (now["status"], now["pid"], now["survives_restart"]) == ("running", pid, True)
            service.run("touch", go)
            ended = wait(service, run_id, *ENDED)
            assert (ended["status"], ended["exit_code"]) == ("failed", 7)
            seen, _errors = watching.communicate(timeout=WAIT_S)
        log = service.runwire("logs", run_id)
        assert seen == log
        assert all_numbers(log)
    wait_nothing_kept(service)


def test_a_stop_ends_them_properly_and_a_restart_those_that_cannot_go_on(service: Machine) -> None:
    with service.setting("FileDescriptorStoreMax=5"):
        service.run("systemctl", "restart", "runwire.service")
        survivor = service.runwire("submit", "--", "sleep", "600").strip()
        wait(service, survivor, "running")
        other = service.runwire("submit", "--", "sleep", "600").strip()
        assert wait(service, other, "running")["survives_restart"] is False
        service.run("systemctl", "restart", "runwire.service")
        ended = run(service, other)
        assert (ended["status"], ended["stop"]["cause"]) == ("cancelled", "shutdown")
        assert run(service, survivor)["status"] == "running"
        service.run("systemctl", "stop", "runwire.service")
        assert service.living("-x", "sleep") == []
        service.run("systemctl", "start", "runwire.service")
        assert run(service, survivor)["status"] == "cancelled"


def test_a_stop_of_a_service_that_hangs_leaves_nobody(service: Machine) -> None:
    """It never hears of the stop: a server that is only suspended would be woken up for that."""
    with service.setting("KillSignal=SIGURG\nTimeoutStopSec=1s"):
        run_id = service.runwire("submit", "--shell", "setsid sleep 602 & sleep 601").strip()
        wait(service, run_id, "running")
        service.run("systemctl", "stop", "runwire.service")
        assert service.property("Result") == "timeout"
        assert service.living("-x", "sleep") == []


def test_where_the_unit_kills_all_processes_runs_are_stopped_at_a_restart(
    service: Machine,
) -> None:
    with service.setting("KillMode=mixed"):
        service.run("systemctl", "restart", "runwire.service")
        run_id = service.runwire("submit", "--", "sleep", "600").strip()
        assert wait(service, run_id, "running")["survives_restart"] is False
        service.run("systemctl", "restart", "runwire.service")
        assert run(service, run_id)["status"] == "cancelled"


def test_a_hundred_runs_go_on(service: Machine) -> None:
    """As many as a restart may meet."""
    with service.jobs_as_before():
        setting = "printf '[supervisor]\\nmax_running = 300\\n' >> /etc/runwire/jobs.toml"
        service.run("sh", "-c", setting)
        service.run("systemctl", "reload", "runwire.service")
        ids = [f"many-{number}" for number in range(100)]
        service.post("/runs", *({"id": it, "command": ["sleep", "600"]} for it in ids))
        for run_id in ids:
            wait(service, run_id, "running")
        fall(service, "restart")
        assert statuses(service) == {"running": 100}
        service.run("systemctl", "stop", "runwire.service")
        service.run("systemctl", "start", "runwire.service")
        assert statuses(service) == {"cancelled": 100}


def statuses(service: Machine) -> Counter[str]:
    """How many runs there are of each, with the message of those that failed."""
    found = json.loads(service.get("/runs?limit=1000"))["runs"]
    return Counter(
        f"failed: {it['message']}" if it["status"] == "failed" else it["status"] for it in found
    )
