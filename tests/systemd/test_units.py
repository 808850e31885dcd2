"""The unit files are what systemd understands, and leave as little open as jobs can live with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from supervisor.serviceunits import shipped
from tests.systemd.machine import Machine

pytestmark = pytest.mark.systemd

EXPOSURE = {(): 3.5, ("20-workdirs",): 3.5, ("30-gpu",): 3.6, ("50-tight",): 2.0}


def put(directory: Path, drop_ins: tuple[str, ...] = ()) -> Path:
    """The units as they ship, with a program that is surely there."""
    names = ["runwire.service", "runwire.socket", "user/runwire.service", "user/runwire.socket"]
    names += [f"runwire.service.d/{name}.conf" for name in drop_ins]
    for name in names:
        target = directory / name
        target.parent.mkdir(exist_ok=True)
        text = (shipped() / name).read_text()
        target.write_text(text.replace("/usr/bin/runwire", "/bin/true"))
    return directory / "runwire.service"


@pytest.mark.parametrize("drop_ins", EXPOSURE)
def test_systemd_has_nothing_to_say_about_them(tmp_path: Path, drop_ins: tuple[str, ...]) -> None:
    """It says so on stderr; its exit code tells nothing of unknown keys."""
    service = put(tmp_path, drop_ins)
    done = subprocess.run(
        ["systemd-analyze", "verify", service, service.with_suffix(".socket")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("drop_ins", "limit"), EXPOSURE.items())
def test_exposure(tmp_path: Path, drop_ins: tuple[str, ...], limit: float) -> None:
    service = put(tmp_path, drop_ins)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", service.name],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = re.search(r"exposure level for runwire.service: ([0-9.]+)", done.stdout)
    assert found
    assert float(found[1]) <= limit


def test_keys_of_later_versions_stand_in_their_drop_in_alone() -> None:
    assert "DelegateSubgroup" not in (shipped() / "runwire.service").read_text()
    later = (shipped() / "runwire.service.d/10-systemd-254.conf").read_text()
    assert "DelegateSubgroup" in later
    # systemd would wait for it, and not hear whether it failed.
    assert "notify-reload" not in later


def test_systemd_understands_what_was_installed_for_it(machine: Machine) -> None:
    """On a later one that is more than the units themselves."""
    done = machine.run("systemd-analyze", "verify", "runwire.service", "runwire.socket")
    assert done.stderr == ""
    later = "10-systemd-254.conf" in machine.property("DropInPaths")
    assert later == (machine.systemd >= 254)


def test_exposure_of_what_was_installed(machine: Machine) -> None:
    said = machine.output("systemd-analyze", "security", "runwire.service")
    found = re.search(r"exposure level for runwire.service: ([0-9.]+)", said)
    assert found
    assert float(found[1]) <= EXPOSURE[()]


def test_a_later_systemd_begins_the_server_beside_its_runs(service: Machine) -> None:
    """Not in the group of the whole service, where no process may be once limits hold."""
    if service.systemd < 254:
        pytest.skip("the server goes there by itself, when there are limits")
    group = service.output("cat", f"/proc/{service.property('MainPID')}/cgroup")
    assert "/runwire.service/supervisor\n" in group
