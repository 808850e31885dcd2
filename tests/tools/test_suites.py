"""The suites that need more: left out by default, and all of them run by `--all`."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools import commands, suites
from tools.base import ROOT

PYTEST = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
MARKERS = [marker.partition(":")[0] for marker in PYTEST["markers"]]


def test_every_marker_is_left_out_by_default() -> None:
    (expression,) = (option for option in PYTEST["addopts"] if option.startswith("not ("))
    assert (
        re.findall(r"\w+", expression) == " or ".join(["not " + MARKERS[0], *MARKERS[1:]]).split()
    )


def test_every_suite_has_a_marker() -> None:
    assert set(suites.SUITES) - set(MARKERS) == set()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with our pytest configuration, one plain test, and one for each marker."""
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / "tests").mkdir()
    marked = (f"@pytest.mark.{name}\ndef test_{name}(): pass\n" for name in MARKERS)
    tests = ["import pytest\n", "def test_plain(): pass\n", *marked]
    (tmp_path / "tests" / "test_all.py").write_text("\n".join(tests))
    return tmp_path


@pytest.mark.parametrize("everything", [False, True])
def test_all_selects_what_is_left_out_by_default(project: Path, everything: bool) -> None:
    _, *command = commands.pytest_command("--quiet", everything=everything)
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, check=True
    )
    expected = (
        f"{1 + len(MARKERS)} passed" if everything else f"1 passed, {len(MARKERS)} deselected"
    )
    assert done.stdout.splitlines()[-1].startswith(expected)
