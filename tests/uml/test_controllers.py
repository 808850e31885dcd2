"""Limits of control groups on a kernel of their own, which has all controllers for its runs.

Most machines in containers have none to give, so there the same tests are skipped. User-mode Linux
needs no rights but those to mount; the tests run below a real systemd, in a unit that delegates.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.base import ROOT

pytestmark = pytest.mark.uml

BOOT = ROOT / "tests" / "systemd" / "boot-systemd.sh"
TESTS = ("tests/executors/test_shared_limits.py", "tests/processes/test_controllers.py")
NOT_BOOTED = 125
WAIT_S = 300


def test_memory_processors_and_processes_are_limited() -> None:
    if os.geteuid() != 0:
        pytest.skip("the layer over this machine's file system takes root")
    places = (ROOT, Path(sys.prefix), Path(sys.base_prefix).resolve())
    hidden = [str(place) for place in places if place.is_relative_to("/tmp")]
    binds = [word for place in hidden for word in ("--bind-ro", place)]
    unit = ["systemd-run", "--wait", "--pipe", "--quiet", "-p", "Delegate=yes"]
    unit += ["-p", f"WorkingDirectory={ROOT}", "-E", "PYTHONDONTWRITEBYTECODE=1"]
    python = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [BOOT, "uml", *binds, "--", *unit, *python, *TESTS],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    if done.returncode == NOT_BOOTED:
        pytest.skip(f"no user-mode Linux here: {done.stderr[-500:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = re.findall(r"^SKIPPED .*", done.stdout, re.MULTILINE)
    assert [line for line in skipped if "io.weight" not in line] == []
