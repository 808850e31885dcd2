"""The unit files are what systemd understands, and leave as little open as jobs can live with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from supervisor.serviceunits import shipped

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
    service = (shipped() / "runwire.service").read_text()
    assert "notify-reload" not in service
    assert "DelegateSubgroup" not in service
    later = (shipped() / "runwire.service.d/10-systemd-254.conf").read_text()
    assert "notify-reload" in later
    assert "DelegateSubgroup" in later
