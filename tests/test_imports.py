"""The import contract in pyproject.toml: it covers every module, and breaking it is noticed."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.base import ROOT

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
# Whoever imports a module meanwhile writes there, and takes away, what is compiled of it.
CACHES = shutil.ignore_patterns("__pycache__")
LAYERS, ENGINE, _ = (contract["name"] for contract in CONTRACTS)

BREAKING = [
    ("supervisor.lifecycle", "import os", LAYERS),
    ("supervisor.queue", "def now():\n    import time", LAYERS),
    ("supervisor.wire", "import trio.lowlevel", LAYERS),
    ("supervisor.model", "from sqlite3 import Row", LAYERS),
    ("supervisor.errors", "import supervisor.model", LAYERS),
    ("supervisor.journal", "from supervisor.log import logfile", LAYERS),
    ("supervisor.executors.local", "import supervisor.service", LAYERS),
    ("supervisor.service", "import supervisor.testing", LAYERS),
    ("web.auth.auth", "import web.api.endpoints", LAYERS),
    ("web.app", "import supervisor.daemon", LAYERS),
    ("web.api.endpoints", "import supervisor.client.api", LAYERS),
    ("supervisor.service", "import web.streams.stream", ENGINE),
    ("supervisor.client.api", "from web import openapi", ENGINE),
]


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("lint-imports"))
    command = [program, "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("supervisor", "web"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=CACHES)
    return tmp_path


def add(project: Path, module: str, line: str) -> None:
    """Add a line to a module, which is made if it is not there."""
    path = project.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as text:
        text.write(f"\n{line}\n")


def test_every_module_has_its_place() -> None:
    """A module that is in no layer could import anything: pyproject.toml has to list it."""
    listed = {name for line in CONTRACTS[0]["layers"] for name in re.findall(r"[\w.]+", line)}
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("supervisor", "web")
        for path in (ROOT / package).rglob("*.py")
        if path.read_bytes()
    }
    placed = {
        module for module in modules if any(f"{module}.".startswith(f"{name}.") for name in listed)
    }
    assert modules - placed == set()


def test_an_unbroken_copy_passes(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("module", "line", "contract"), BREAKING, ids=lambda text: text[:24])
def test_breaking_the_contract_is_noticed(
    copy: Path, module: str, line: str, contract: str
) -> None:
    imported = re.findall(r"\w+", line)[-1]
    for package in ("supervisor", "supervisor.executors", "web"):
        add(copy, f"{package}.__init__", "")
    for package in ("supervisor", "web"):
        add(copy, f"{package}.{imported}", "")
    add(copy, module, line)
    done = lint_imports(copy)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in " ".join(done.stdout.split())


def test_the_daemon_may_import_web(copy: Path) -> None:
    add(copy, "web.app", "")
    add(copy, "supervisor.daemon", "import web.app")
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout
