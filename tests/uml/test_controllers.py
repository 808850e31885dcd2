"""Limits of control groups on a kernel of their own, which has all controllers for its runs.

Most machines in containers have none to give, so there the same tests are skipped. User-mode Linux
needs no rights but those to mount; the tests run below a real systemd, in a unit that delegates.
"""

from __future__ import annotations

import re
import sys

import pytest

from tests.uml.booted import run_booted
from tools.base import ROOT

pytestmark = pytest.mark.uml

TESTS = ("tests/executors/test_shared_limits.py", "tests/processes/test_controllers.py")


def test_memory_processors_and_processes_are_limited() -> None:
    unit = ["systemd-run", "--wait", "--pipe", "--quiet", "-p", "Delegate=yes"]
    unit += ["-p", f"WorkingDirectory={ROOT}", "-E", "PYTHONDONTWRITEBYTECODE=1"]
    python = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = run_booted(*unit, *python, *TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = re.findall(r"^SKIPPED .*", done.stdout, re.MULTILINE)
    assert [line for line in skipped if "io.weight" not in line] == []
