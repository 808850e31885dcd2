"""The virtual environment `.venv`: made from the lock files, and made anew when they change.

Everything is installed by pip with its hash. pip and not a faster installer, because every Python
brings it and because it follows the machine's own settings: its index, proxy and certificates.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import debian
from tools.base import ROOT, Refusal, call

VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"

RUNTIME = ROOT / "requirements.lock"
DEVELOPMENT = ROOT / "requirements-dev.lock"
PROJECT = ROOT / "pyproject.toml"

# The Python behind a virtual environment that `./dev` may have been started from.
BASE_PYTHON = Path(sys.executable).resolve()


def setup(*, development: bool = False) -> None:
    """Bring `.venv` up to date: dependencies, the project itself, and development tools if asked.

    Does nothing when nothing changed. Raises Refusal when it cannot.
    """
    with _one_at_a_time():
        if not _is_installed(RUNTIME) or _is_outdated(DEVELOPMENT):
            _make_venv()
            _install_lock(RUNTIME)
        if development and not _is_installed(DEVELOPMENT):
            _install_lock(DEVELOPMENT)
        if not _is_installed(PROJECT):
            _install_project()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait until no other `./dev` works on this directory's `.venv`."""
    directory = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _make_venv() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        debian.install([f"python{sys.version_info.major}.{sys.version_info.minor}-venv"])
    print(f"Making {VENV.name} with Python {sys.version.split()[0]}", flush=True)
    if call([BASE_PYTHON, "-m", "venv", "--clear", "--prompt", "runwire", VENV]) != 0:
        raise Refusal(f"{BASE_PYTHON} could not make {VENV}; what it said is above.")


def _install_lock(lock: Path) -> None:
    print(f"Installing {lock.name}", flush=True)
    _pip_install(lock, "--require-hashes", "--requirement", str(lock))


def _install_project() -> None:
    # Its build needs nothing that is not in requirements.lock, so nothing comes without a hash.
    _pip_install(PROJECT, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def _pip_install(what: Path, *arguments: str) -> None:
    options = ["-qq", "--no-input", "--disable-pip-version-check"]
    if call([PYTHON, "-m", "pip", "install", *options, *arguments]) != 0:
        raise Refusal(f"pip could not install {what.name}; what it said is above.")
    _stamp(what).write_text(_fingerprint(what), encoding="ascii")


def _is_installed(what: Path) -> bool:
    stamp = _stamp(what)
    return stamp.exists() and stamp.read_text(encoding="ascii") == _fingerprint(what)


def _is_outdated(what: Path) -> bool:
    return _stamp(what).exists() and not _is_installed(what)


def _stamp(what: Path) -> Path:
    return VENV / f"{what.name}.installed"


def _fingerprint(what: Path) -> str:
    """Changes with the file, the Python, and the place: scripts in `.venv` hold its full path."""
    place = f"{BASE_PYTHON}\n{sys.version}\n{ROOT}\n"
    return hashlib.sha256(place.encode() + what.read_bytes()).hexdigest()
