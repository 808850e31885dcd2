"""This machine's own file system, below a kernel that has all controllers and a real systemd."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.base import ROOT

_BOOT = ROOT / "tests" / "systemd" / "boot-systemd.sh"
_NOT_BOOTED = 125
_PATIENCE_S = 850


def run_booted(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """`command` to its end, as root. The test is skipped where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("the layer over this machine's file system takes root")
    places = (ROOT, Path(sys.prefix), Path(sys.base_prefix).resolve())
    hidden = [str(place) for place in places if place.is_relative_to("/tmp")]
    binds = [word for place in hidden for word in ("--bind-ro", place)]
    done = subprocess.run(
        [_BOOT, "uml", *binds, "--", *command],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode == _NOT_BOOTED:
        pytest.skip(f"no user-mode Linux here: {done.stderr[-500:]}")
    return done
