"""The script `./dev` itself, started as a person would."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.base import ROOT
from tools.commands import COMMANDS

DEV = ROOT / "dev"

# Pretends to be another Python: what it runs sees only sys.version_info.
UNDER_ANOTHER_PYTHON = """
import runpy, sys
sys.version_info = (3, 10, 4, "final", 0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(
    *command: str | Path, path: Path | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ) if path is None else {"PATH": str(path)}
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_alone_it_lists_its_commands() -> None:
    done = run(DEV)
    assert done.returncode == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in done.stdout] == []


def test_refuses_an_unknown_command() -> None:
    done = run(DEV, "fly")
    assert done.returncode == 2
    assert done.stderr.startswith("dev: there is no command 'fly'\n")


def test_refuses_arguments_that_would_be_ignored() -> None:
    done = run(DEV, "setup", "--fast")
    assert (done.returncode, done.stderr) == (1, "dev: This command takes no arguments: --fast\n")


def test_refuses_another_python_in_one_sentence(tmp_path: Path) -> None:
    done = run(sys.executable, "-c", UNDER_ANOTHER_PYTHON, DEV, "setup", path=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "dev: Runwire needs Python 3.11, 3.12 or 3.13, and this is Python 3.10"
        f" ({sys.executable}).\n"
    )


def test_under_another_python_it_takes_a_supported_one_from_path(tmp_path: Path) -> None:
    """The newest that works: a version manager's empty placeholder does not."""
    program(tmp_path / "python3.13", "echo 'not installed' >&2; exit 127")
    program(tmp_path / "python3.12", 'if [ "$1" != -c ]; then echo 3.12 "$@"; fi')
    program(tmp_path / "python3.11", 'if [ "$1" != -c ]; then echo 3.11 "$@"; fi')
    done = run(sys.executable, "-c", UNDER_ANOTHER_PYTHON, DEV, "test", "-k", "a b", path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"3.12 {DEV} test -k a b\n"


def test_starts_under_old_pythons() -> None:
    ast.parse(DEV.read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize(
    "file",
    # ./dev does not import what makes the page of the lifecycle and the pictures.
    [
        file
        for file in (DEV, *sorted((ROOT / "tools").glob("*.py")))
        if file.name not in {"lifecycle_page.py", "screenshots.py"}
    ],
    ids=lambda f: f.name,
)
def test_needs_only_the_standard_library(file: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - sys.stdlib_module_names - {"tools"} == set()


def test_ci_runs_check() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec ./dev check"
