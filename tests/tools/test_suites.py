"""The suites that need more: left out by default, and all of them run by `--all`."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.sharing import TOGETHER
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
    _, *command = commands.pytest_command("--quiet", "-n0", everything=everything)
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, check=True
    )
    expected = (
        f"{1 + len(MARKERS)} passed" if everything else f"1 passed, {len(MARKERS)} deselected"
    )
    assert done.stdout.splitlines()[-1].startswith(expected)


def test_processes_share_the_suite_and_keep_together_what_is(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "systemd").mkdir(parents=True)
    for name in ("conftest.py", "sharing.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    for name in ("test_apart.py", "systemd/test_one.py", "systemd/test_another.py"):
        (tmp_path / "tests" / name).write_text("def test_a(): pass\ndef test_b(): pass\n")
    _, *command = commands.pytest_command("--verbose", "-n2", everything=True)
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    passed = re.findall(r"\[(gw\d)\] .* PASSED tests/(\w+)", done.stdout)
    assert len(passed) == 6
    together = {process for process, place in passed if place == "systemd"}
    apart = {process for process, place in passed if place == "test_apart"}
    assert len(together) == len(apart) == 1
    assert together != apart


def test_what_is_to_be_kept_together_is_there() -> None:
    assert [place for place in TOGETHER if not (ROOT / place).exists()] == []
