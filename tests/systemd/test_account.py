"""A service of one user, below the service manager of that user, with nobody logged in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.systemd.account import SOCKET, Account
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

NAME = "ann"
UNITS = ("runwire.socket", "runwire.service")


@pytest.fixture(scope="module")
def account(machine: Machine) -> Iterator[Account]:
    """Installed and started by its user, in a shell that does not know of the service manager."""
    machine.run("systemctl", "stop", *reversed(UNITS))
    account = Account(machine, NAME)
    account.runwire("install-service", "--user", "--now", session=False)
    yield account
    account.stop_manager()


def fall(account: Account, how: str) -> None:
    """Have the server fall that way, and another one take its place."""
    main = account.property("MainPID")
    if how == "restart":
        account.systemctl("restart", "runwire.service")
    else:
        account.systemctl("kill", "--kill-whom=main", "-s", how, "runwire.service")
    wait_property(account, "MainPID", main, "0")
    assert wait_property(account, "ActiveState", "activating") == "active"


def test_runs_are_those_of_the_user_in_groups_of_their_own(account: Account) -> None:
    user, *groups = account.runwire("run", "--shell", "id -un; cat /proc/self/cgroup").split()
    assert user == NAME
    assert f"/{account.manager}/app.slice/runwire.service/runwire-" in groups[-1]


def test_reload_finds_it(account: Account) -> None:
    account.systemctl("reload", "runwire.service")
    assert account.property("ActiveState") == "active"


def test_a_run_goes_on_and_who_watches_misses_nothing(account: Account) -> None:
    """Though the service manager itself is executed anew, as by an upgrade of systemd."""
    run_id = account.runwire("submit", "--shell", numbers("go")).strip()
    before = wait(account, run_id, "running")
    assert before["survives_restart"] is True
    follow = account.command(account.machine.program, "logs", "-f", run_id)
    with account.machine.start(*follow) as watching:
        for how in ("restart", "KILL"):
            account.systemctl("daemon-reexec")
            fall(account, how)
            now = run(account, run_id)
            assert (now["status"], now["pid"]) == ("running", before["pid"])
        account.run("touch", "go")
        ended = wait(account, run_id, *ENDED)
        assert (ended["status"], ended["exit_code"]) == ("failed", 7)
        seen, _errors = watching.communicate(timeout=WAIT_S)
    assert all_numbers(seen)
    assert seen == account.get(f"/runs/{run_id}/log")
    wait_nothing_kept(account)


def test_a_stop_ends_its_runs_properly_and_a_request_starts_it(account: Account) -> None:
    proper = "trap 'echo properly; exit 0' TERM; setsid sleep 600 & while :; do sleep 0.1; done"
    run_id = account.runwire("submit", "--shell", proper).strip()
    wait(account, run_id, "running")
    account.systemctl("stop", "runwire.service")
    assert account.processes() == []
    assert account.property("Result") == "success"
    ended = run(account, run_id)
    assert (ended["status"], ended["stop"]["cause"]) == ("cancelled", "shutdown")
    assert account.property("ActiveState") == "active"


def test_a_stop_of_a_service_that_hangs_leaves_nobody(account: Account) -> None:
    with account.setting("KillSignal=SIGURG", "TimeoutStopSec=1s"):
        run_id = account.runwire("submit", "--shell", "setsid sleep 602 & sleep 601").strip()
        wait(account, run_id, "running")
        account.systemctl("stop", "runwire.service")
        assert account.property("Result") == "timeout"
        assert account.processes() == []
    account.systemctl("reset-failed", "runwire.service")
    account.systemctl("start", "runwire.service")
    assert wait(account, run_id, *ENDED)["reason"] == "lost"


def test_its_runs_end_properly_with_the_service_manager_and_it_comes_back_with_that(
    account: Account,
) -> None:
    """What a shutdown of the machine does, and a logout of somebody who does not linger."""
    run_id = account.runwire("submit", "--", "sleep", "600").strip()
    wait(account, run_id, "running")
    account.stop_manager()
    assert account.processes() == []
    account.start_manager()
    assert wait_property(account, "ActiveState", "inactive", "activating") == "active"
    ended = run(account, run_id)
    assert (ended["status"], ended["stop"]["cause"]) == ("cancelled", "shutdown")


def test_a_later_systemd_begins_the_server_beside_its_runs(account: Account) -> None:
    if account.machine.systemd < 254:
        pytest.skip("the server goes there by itself, when there are limits")
    group = account.run("cat", f"/proc/{account.property('MainPID')}/cgroup").stdout
    assert "/runwire.service/supervisor\n" in group


def test_it_is_beside_the_service_of_the_machine_at_an_address_of_its_own(
    account: Account,
) -> None:
    machine, override = account.machine, ".config/systemd/user/runwire.socket.d"
    address = "[Socket]\\nListenStream=\\nListenStream=127.0.0.1:4001\\n"
    address += f"ListenStream=%%h/{SOCKET}\\n"
    account.systemctl("stop", *UNITS)
    machine.run("systemctl", "start", "runwire.socket")
    try:
        assert account.systemctl("start", "runwire.socket", check=False).returncode != 0
        account.run(
            "sh", "-c", f"mkdir {override} && printf '{address}' > {override}/override.conf"
        )
        account.systemctl("daemon-reload")
        account.systemctl("start", *UNITS)
        url = "http://127.0.0.1:4001/healthz"
        machine.run("curl", "-sSf", "--max-time", "60", "-o", "/dev/null", url)
        assert account.runwire("run", "--shell", "id -un") == f"{NAME}\n"
    finally:
        machine.run("systemctl", "stop", "runwire.socket")
        account.systemctl("stop", *UNITS)
        account.run("rm", "-r", override)
        account.systemctl("daemon-reload")
        account.systemctl("start", "runwire.socket")


def test_it_is_undone_cleanly(account: Account) -> None:
    """What people have written stays; installing again brings it back."""
    account.runwire("uninstall-service", "--user")
    left = account.run("find", ".config/systemd", "-not", "-type", "d").stdout
    assert left == ""
    assert account.processes() == []
    assert account.property("LoadState") == "not-found"
    assert "hello" in account.run("cat", ".config/runwire/jobs.toml").stdout
    account.runwire("install-service", "--user", "--now")
    assert account.runwire("run", "hello") == "hello from Runwire\n"
