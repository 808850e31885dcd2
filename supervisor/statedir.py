"""The state directory: where it keeps what, and that only one server uses it.

```
lock          held while a server runs; holds its pid
instance      a random name, and the directory (st_dev:st_ino) that it is the name of; marks the
              processes of this state directory, of which a copy gets a name of its own
journal.db    runs, events and issued tokens (with journal.db-wal and journal.db-shm beside it)
logs/         one log and index a run
token.key     signs the tokens issued here; made once
restoring/    what a restore has not yet put in place
runwire.sock  where the command line finds the server
```
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from supervisor.errors import StateDirError

RESTORING = "restoring"
"""The directory in which a restore is prepared. While it is there, the state is not whole."""
_INSTANCE = re.compile(r"[0-9a-f]{16}")


class StateDir(Struct, frozen=True):
    """A state directory that is ours while the server runs. `instance` is its own for good."""

    path: Path
    instance: str

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal.db"

    @property
    def logs(self) -> Path:
        """The directory of the runs' logs."""
        return self.path / "logs"

    @property
    def token_key(self) -> Path:
        """The file of the key that signs tokens."""
        return self.path / "token.key"

    @property
    def socket(self) -> Path:
        """The Unix socket, unless configured elsewhere."""
        return self.path / "runwire.sock"


@contextmanager
def open_state_dir(path: Path) -> Iterator[StateDir]:
    """Make the directory at `path` if need be, and hold its lock.

    Raises StateDirError if it cannot be used, or another server is using it.
    """
    path = path.absolute()
    with lock_state_dir(path):
        yield _prepare(path)


@contextmanager
def lock_state_dir(path: Path) -> Iterator[None]:
    """Make the directory at `path` if need be, and hold its lock; nothing else in it is touched.

    Raises as `open_state_dir`.
    """
    try:
        _make(path)
        lock = _lock(path)
    except OSError as error:
        raise StateDirError(f"state directory {path} cannot be used: {_why(error)}") from error
    try:
        yield
    finally:
        os.close(lock)


def _make(path: Path) -> None:
    """As `mkdir -p`; what is there keeps its mode, what is made is for its owner alone."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        sync_directory(path.parent)


def _lock(path: Path) -> int:
    """The descriptor of the lock file; the lock goes when it is closed, however we end."""
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise StateDirError(
            f"state directory {path} is in use by another server (pid {holder or 'unknown'})"
        ) from None
    except OSError:
        os.close(lock)
        raise
    return lock


def _prepare(path: Path) -> StateDir:
    if (path / RESTORING).exists():
        raise StateDirError(
            f"state directory {path}: a restore was not finished; "
            "run `runwire restore --replace` again"
        )
    try:
        state = StateDir(path, _instance(path))
        state.logs.mkdir(mode=0o700, exist_ok=True)
        refuse_a_lost_journal(state.journal, state.logs)
    except OSError as error:
        raise StateDirError(f"state directory {path} cannot be used: {_why(error)}") from error
    return state


def _instance(path: Path) -> str:
    """The name in the file, unless the file was made for another directory, of which this is a copy.

    A copy has a name of its own: its server must not take the other's processes for its own.
    """
    file = path / "instance"
    this = path.stat()
    place = f"{this.st_dev}:{this.st_ino}"
    if file.exists():
        name, _, made_for = file.read_text("ascii", "replace").strip().partition(" ")
        if not _INSTANCE.fullmatch(name):
            raise StateDirError(f"{file} is damaged: it should begin with 16 hexadecimal digits")
        if made_for == place:
            return name
    name = secrets.token_hex(8)
    _write_whole(file, f"{name} {place}\n".encode())
    return name


def refuse_a_lost_journal(journal: Path, logs: Path) -> None:
    """Starting anew beside the logs of earlier runs would silently forget those runs.

    Raises StateDirError.
    """
    missing = not journal.exists()
    # SQLite takes an empty file for a new journal; one of ours is never empty once there are runs.
    if (missing or not journal.stat().st_size) and any(logs.glob("*.log")):
        raise StateDirError(
            f"{journal} is {'missing' if missing else 'empty'}, but {logs} holds logs of runs; "
            "restore the journal, or move the logs away to start anew"
        )


def _write_whole(file: Path, content: bytes) -> None:
    """Write `file` so that a crash leaves all of it or none."""
    beside = file.with_name(file.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.rename(file)
    sync_directory(file.parent)


def sync_directory(path: Path) -> None:
    """Have what a directory lists on disk (fsync(2)). Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    named = f"{error.filename}: " if error.filename is not None else ""
    return f"{named}{error.strerror or error}"
