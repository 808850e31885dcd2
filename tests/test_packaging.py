"""What is installed, from what, and that it gets along with its neighbours."""

import ast
import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools.base import ROOT

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ["requirements.lock", "requirements-dev.lock"]

# The modules of the packages of the same names in supervisord and web.py: in one environment,
# files of one name overwrite each other.
TAKEN = {
    "supervisor": "childutils compat confecho datatypes dispatchers events http http_client loggers"
    " options pidproxy poller process rpcinterface socket_manager states supervisorctl supervisord"
    " templating web xmlrpc",
    "web": "application browser db debugerror form http httpserver net py3helpers session template"
    " test utils webapi webopenid wsgi",
}


@pytest.mark.parametrize("package", TAKEN)
def test_package_can_share_its_name(package: str) -> None:
    """Its __init__ is empty and none of its modules is called like one of the namesake's."""
    assert (ROOT / package / "__init__.py").read_bytes() == b""
    modules = {path.stem for path in (ROOT / package).iterdir()}
    assert modules & set(TAKEN[package].split()) == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, directory], cwd=ROOT, check=True, capture_output=True)
    (file,) = directory.iterdir()
    assert file.name.startswith("runwire-")
    return zipfile.Path(file)


def test_wheel_contains_the_two_packages_whole_and_nothing_else(wheel: zipfile.Path) -> None:
    names = wheel.root.namelist()
    contained = {name for name in names if ".dist-info/" not in name and not name.endswith("/")}
    sources = {
        str(path.relative_to(ROOT))
        for package in ("supervisor", "web")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    units = {
        f"supervisor/{path.relative_to(ROOT)}"
        for path in (ROOT / "systemd").rglob("*")
        if path.is_file()
    }
    assert contained == sources | units


def test_wheel_says_what_it_needs_and_installs_the_command(wheel: zipfile.Path) -> None:
    (info,) = (path for path in wheel.iterdir() if path.name.endswith(".dist-info"))
    metadata = HeaderParser().parsestr((info / "METADATA").read_text())
    assert metadata["Name"] == "runwire"
    assert metadata["License-Expression"] == "MIT"
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(">=3.11,<3.14")
    declared = {str(Requirement(text)) for text in PYPROJECT["project"]["dependencies"]}
    assert {str(Requirement(text)) for text in metadata.get_all("Requires-Dist", [])} == declared
    assert "runwire = supervisor.cli.main:main" in (info / "entry_points.txt").read_text()
    assert (info / "licenses" / "LICENSE").exists()


def test_supported_pythons_are_the_same_everywhere() -> None:
    supported = runpy.run_path(str(ROOT / "dev"))["SUPPORTED"]
    versions = [f"{major}.{minor}" for major, minor in supported]
    accepted = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(30) if f"3.{minor}" in accepted] == versions
    classifier = "Programming Language :: Python :: "
    classifiers = [text for text in PYPROJECT["project"]["classifiers"] if classifier in text]
    assert [text.removeprefix(classifier) for text in classifiers] == versions


def test_what_the_code_imports_is_what_the_project_declares() -> None:
    """Nothing is used only because another package brings it, and nothing declared in vain."""
    distributions = packages_distributions()
    imported = {
        canonicalize_name(distribution)
        for package in ("supervisor", "web")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_bytes()))
        for name in _imported(node)
        for distribution in distributions.get(name.partition(".")[0], ())
    }
    declared = {
        canonicalize_name(requirement.name): requirement.extras
        for requirement in map(Requirement, PYPROJECT["project"]["dependencies"])
    }
    # An extra that is imported: pyjwt[crypto] is cryptography.
    assert imported - {"runwire", "cryptography"} == declared.keys()
    assert "crypto" in declared[canonicalize_name("pyjwt")]


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def locked(name: str) -> list[Requirement]:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if not re.search(r" --hash=sha256:[0-9a-f]{64}", line)] == []
    return [Requirement(line.partition(" --hash")[0]) for line in lines]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_each_package_with_hashes_and_no_address(lock: str) -> None:
    assert [str(r) for r in locked(lock) if not re.fullmatch(r"==[^*,]+", str(r.specifier))] == []
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert (
        re.findall(r"\S*(?:://|--(?:extra-)?index|--find-links|@ ?file|/home/|/tmp/)\S*", text)
        == []
    )


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        (LOCKS[0], PYPROJECT["project"]["dependencies"]),
        (LOCKS[0], PYPROJECT["dependency-groups"]["build"]),
        (LOCKS[1], PYPROJECT["dependency-groups"]["dev"]),
    ],
    ids=["runtime", "build", "dev"],
)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_lock_meets_what_is_declared(lock: str, declared: list[str], python: str) -> None:
    """On each Python every dependency is locked once, to a release in its range."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    releases: dict[str, list[str]] = {}
    for requirement in locked(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            release = str(requirement.specifier).removeprefix("==")
            releases.setdefault(canonicalize_name(requirement.name), []).append(release)
    for requirement in map(Requirement, declared):
        (release,) = releases[canonicalize_name(requirement.name)]
        assert release in requirement.specifier


def test_both_locks_install_together() -> None:
    runtime, development = ({r.name: str(r.specifier) for r in locked(lock)} for lock in LOCKS)
    shared = runtime.keys() & development.keys()
    assert {name for name in shared if runtime[name] != development[name]} == set()


def test_command_is_installed() -> None:
    command = Path(sys.executable).with_name("runwire")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert PYPROJECT["project"]["version"] in done.stdout
