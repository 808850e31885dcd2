"""A service, which is an ordinary user, with a state directory that it cannot write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.systemd.machine import Machine

pytestmark = pytest.mark.systemd

STATE = "/var/lib/runwire"


@pytest.fixture
def read_only(service: Machine) -> Iterator[Machine]:
    """The service stopped, after a run, and its state directory made read-only."""
    service.runwire("run", "hello")
    service.run("systemctl", "stop", "runwire.service", "runwire.socket")
    service.run("mount", "--bind", STATE, STATE)
    service.run("mount", "-o", "remount,bind,ro", STATE)
    yield service
    service.run("umount", STATE)
    service.run("systemctl", "reset-failed")


def test_it_does_not_start_and_says_why(read_only: Machine) -> None:
    assert read_only.run("systemctl", "start", "runwire.service", check=False).returncode != 0
    assert "Read-only file system" in read_only.journal()
    read_only.run("systemctl", "stop", "runwire.service")


def test_doctor_says_so_to_an_ordinary_user(read_only: Machine) -> None:
    user = ("setpriv", "--reuid=runwire", "--regid=runwire", "--clear-groups")
    told = read_only.run(*user, read_only.program, "doctor", "--state-dir", STATE, check=False)
    assert told.returncode == 1
    assert f"failure: {STATE} cannot be used: Read-only file system" in told.stdout
    assert f"{STATE}/journal.db is whole" in told.stdout
    assert "Traceback" not in told.stderr
