"""`.venv`: made by the real pip from lock files, here those of a tiny project on a bare machine."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.base import ROOT
from tools.commands import SHARED

# The tiny project is built by a package of its own, which comes from its lock as ours does.
BACKEND = """
import pathlib, shutil

def build_editable(directory, config_settings=None, metadata_directory=None):
    (wheel,) = pathlib.Path("built").glob("*.whl")
    return shutil.copy(wheel, directory) and wheel.name
"""
PROJECT = """
[build-system]
requires = ["backend"]
build-backend = "backend"
"""
PYTEST = """
import sys
print("pytest", sys.argv[1:])
"""
BENCH = """
import os, sys
print(sys.argv[1:], "stdin is", "empty" if os.path.samestat(os.fstat(0), os.stat(os.devnull)) else "?")
"""


def write_wheel(directory: Path, name: str, source: str) -> str:
    """Write a wheel with one module; returns its line for a lock file."""
    info = f"{name}-1.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{file},sha256={_digest(text)},{len(text)}" for file, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"])
    path = directory / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Clone:
    """A clone of the tiny project, and the machine it is on: no terminal, no home, no network."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.index = directory / "index"
        self.lock = directory / "requirements.lock"
        self.development_lock = directory / "requirements-dev.lock"
        shutil.copy(ROOT / "dev", directory)
        # Whoever imports a module meanwhile writes there, and takes away, what is compiled of it.
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tools", directory / "tools", ignore=caches)
        for name in ("index", "built", "bench", "programs"):
            (directory / name).mkdir()
        # A browser, so that none is installed, and an npm that has nothing to do. No Debian is made.
        (directory / "tools" / "trixie.py").write_text("def want_trixie(): pass\n")
        for name in ("chromium", "npm"):
            (directory / "programs" / name).symlink_to("/bin/true")
        (directory / "tests" / "npm").mkdir(parents=True)
        (directory / "tests" / "npm" / "package-lock.json").write_text("{}")
        (directory / "pyproject.toml").write_text(PROJECT)
        (directory / "bench" / "__main__.py").write_text(BENCH)
        write_wheel(directory / "built", "project", "")
        self.lock.write_text(write_wheel(self.index, "backend", BACKEND))
        self.development_lock.write_text(write_wheel(self.index, "pytest", PYTEST))

    def dev(self, arguments: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
        """Run ./dev with stdin closed."""
        python = Path(sys.executable).resolve()
        env = {
            "CI": "true",
            "HOME": "/nowhere",
            "PATH": f"{python.parent}:{self.directory / 'programs'}:{path}",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.index),
        }
        return subprocess.run(
            ["/bin/sh", "-c", f"exec ./dev {arguments} <&-"],
            cwd=self.directory,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def installed(self) -> set[str]:
        """The modules that were installed."""
        modules = self.directory.glob(".venv/lib/python3.*/site-packages/*.py")
        return {path.stem for path in modules} & {"backend", "project", "pytest"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def made(clone: Clone) -> Clone:
    """The tiny project after a first setup."""
    done = clone.dev("setup")
    assert (done.returncode, done.stderr) == (0, "")
    return clone


def test_setup_installs_the_project_and_does_nothing_the_second_time(made: Clone) -> None:
    assert {"backend", "project"} <= made.installed()
    done = made.dev("setup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_arguments_go_on_to_what_is_run_and_its_stdin_is_never_closed(made: Clone) -> None:
    done = made.dev("bench --rounds 'one two'")
    assert done.stdout == "['--rounds', 'one two'] stdin is empty\n"


def test_development_tools_come_with_the_first_test_if_they_are_the_locked_ones(
    clone: Clone,
) -> None:
    clone.dev("setup")
    assert "pytest" not in clone.installed()

    good = clone.development_lock.read_text()
    clone.development_lock.write_text(re.sub("sha256:.*", f"sha256:{'0' * 64}", good))
    done = clone.dev("test")
    assert done.returncode == 1
    assert "0" * 64 in done.stderr
    assert done.stderr.endswith(
        "dev: pip could not install requirements-dev.lock; what it said is above.\n"
    )
    assert "pytest" not in clone.installed()

    clone.development_lock.write_text(good)
    done = clone.dev("test -k this --all that")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"pytest {['-m', '', *SHARED, '-k', 'this', 'that']}"
    assert clone.dev("test").stdout == f"pytest {SHARED}\n"


def test_workers_share_the_whole_suite_and_not_what_is_asked_for_by_its_path(made: Clone) -> None:
    made.dev("test")
    for arguments, shared in (
        ("-k web", True),
        ("--pdb", True),
        ("tests/npm", False),
        ("tests/test_dev.py::test_of_it -k x", False),
    ):
        words = arguments.split()
        done = made.dev(f"test {arguments}")
        assert done.stdout == f"pytest {[*SHARED, *words] if shared else words}\n"


def test_benchmarks_get_the_tools_for_a_browser_if_they_need_one(clone: Clone) -> None:
    shutil.rmtree(clone.directory / ".venv", ignore_errors=True)
    assert clone.dev("bench pages").stdout.endswith("['pages'] stdin is empty\n")
    assert "pytest" in clone.installed()


def test_what_left_a_lock_file_leaves_the_environment(made: Clone) -> None:
    made.dev("test")
    assert made.installed() == {"backend", "project", "pytest"}
    made.development_lock.write_text("# nothing any more\n")
    assert made.dev("setup").returncode == 0
    assert made.installed() == {"backend", "project"}
