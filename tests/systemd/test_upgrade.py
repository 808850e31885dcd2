"""The package is upgraded under a server that runs, as docs/operations.md tells."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.systemd.asking import ENDED, all_numbers, numbers, run, wait
from tests.systemd.machine import Machine

pytestmark = pytest.mark.systemd

LATER = "99.1.0"


def version(service: Machine) -> str:
    """That of the server that answers."""
    told: str = json.loads(service.get("/openapi.json"))["info"]["version"]
    return told


def make_later(wheel: Path, now: str) -> str:
    """Beside the wheel make the same of a later version; its name."""
    later = wheel.with_name(wheel.name.replace(now, LATER))
    with ZipFile(wheel) as old, ZipFile(later, "w") as new:
        for file in old.infolist():
            data = old.read(file)
            if ".dist-info/" in file.filename:
                data = data.replace(now.encode(), LATER.encode())
            new.writestr(file.filename.replace(now, LATER), data)
    return later.name


def test_runs_go_on_and_the_later_version_takes_over(service: Machine) -> None:
    """Until the restart the old one goes on as before, though its files have been replaced."""
    if service.wheel is None:
        pytest.skip("what is under test is not installed here, but run from its sources")
    before = version(service)
    later = make_later(service.wheel, before)
    go = "/tmp/go-upgrade"
    run_id = service.runwire("submit", "--shell", numbers(go)).strip()
    pid = wait(service, run_id, "running")["pid"]
    try:
        service.install(later)
        assert version(service) == before
        between = service.runwire("submit", "--", "echo", "between").strip()
        assert wait(service, between, *ENDED)["status"] == "succeeded"
        service.runwire("install-service")
        service.run("systemctl", "restart", "runwire.service")
        assert version(service) == LATER
        now = run(service, run_id)
        assert (now["status"], now["pid"]) == ("running", pid)
        service.run("touch", go)
        assert wait(service, run_id, *ENDED)["exit_code"] == 7
        assert all_numbers(service.runwire("logs", run_id))
        assert service.runwire("logs", between) == "between\n"
    finally:
        service.install(service.wheel.name)
        service.runwire("install-service")
