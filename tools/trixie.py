"""A file system of Debian 13 in which Runwire can be installed: a later systemd than most machines have.

It is made once, in `~/.cache/runwire` (or `$XDG_CACHE_HOME`), with everything that requirements.lock
names in a virtual environment, `/opt/runwire`. It takes root, mmdebstrap and the network. One that
was not asked for in a month is removed when another is made.
"""

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tools import debian
from tools.base import Refusal, call
from tools.environment import PYTHON, RUNTIME

ENVIRONMENT = Path("/opt/runwire")
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "curl",
    "procps",
    "python3",
    "python3-venv",
)
PYTHON_VERSION = "3.13"
_KEPT_S = 30 * 24 * 3600

_INSTALL = f"""\
python3 -m venv {ENVIRONMENT} &&
{ENVIRONMENT}/bin/pip install -q --no-index --no-deps /opt/wheels/*.whl &&
rm -r /opt/wheels"""


def root_of_trixie() -> Path:
    """Where it is, or would be."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    recipe = f"{PACKAGES} {PYTHON_VERSION} {_INSTALL}".encode() + RUNTIME.read_bytes()
    return base / "runwire" / f"debian-13-{hashlib.sha256(recipe).hexdigest()[:12]}"


def want_trixie() -> None:
    """Make it if it is not there. Where that cannot be, say why: its tests are skipped then."""
    root = root_of_trixie()
    if root.is_dir():
        os.utime(root)
        return
    try:
        _make(root)
    except Refusal as refusal:
        print(f"There are no tests on Debian 13: {refusal}", flush=True)


def _make(root: Path) -> None:
    """All of it or nothing. Raises Refusal."""
    if os.geteuid() != 0:
        raise Refusal("its file system can only be made by root.")
    debian.need("mmdebstrap", "debian-archive-keyring")
    root.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(root.parent), TemporaryDirectory(dir=root.parent) as name:
        if root.is_dir():  # by another `./dev` that we waited for
            return
        print(f"Making {root}", flush=True)
        wheels, made = Path(name, "wheels"), Path(name, "root")
        _fetch(wheels)
        hooks = [
            f"--customize-hook=copy-in {shlex.quote(str(wheels))} /opt",
            f'--customize-hook=chroot "$1" sh -c {shlex.quote(_INSTALL)}',
        ]
        options = ["--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        if call(["mmdebstrap", *options, *hooks, "trixie", made]) != 0:
            raise Refusal("mmdebstrap could not make it; what it said is above.")
        made.rename(root)
        os.utime(root)
        for old in root.parent.glob("debian-13-*"):
            if time.time() - old.stat().st_mtime > _KEPT_S:
                shutil.rmtree(old)


def _fetch(wheels: Path) -> None:
    """What requirements.lock names, for the other Python. Raises Refusal."""
    pip = ["-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    select = ["--python-version", PYTHON_VERSION, "--only-binary=:all:", "--no-deps"]
    hashed = ["--require-hashes", f"--requirement={RUNTIME}", f"--dest={wheels}"]
    if call([PYTHON, *pip, *select, *hashed]) != 0:
        raise Refusal("pip could not fetch what Runwire needs; what it said is above.")


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Wait until nobody else makes one there."""
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
