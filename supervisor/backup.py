"""Backups of a state directory: made beside a working server, and put back in place of a lost one.

```
backup.json   says that the backup is whole; written last
journal.db    the journal as it was at one moment
logs/         the logs of the runs in it, at least as long as the journal says
token.key     the key of the tokens
```

Not in it is `instance`: whoever uses a copy must not take the processes of the original for its
own.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct

from supervisor.errors import StateDirError, StorageUnavailable
from supervisor.journal.copying import check_copy, copy_journal, forget_deleted, run_ids
from supervisor.log import logindex
from supervisor.log.logfile import index_path, log_path
from supervisor.sparse import copy_sparse
from supervisor.statedir import RESTORING, StateDir, lock_state_dir

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
FORMAT = 1
MARK = "backup.json"
_PARTS = ("token.key", "logs", "journal.db")
"""What is put in place, in this order: without its journal, a state directory is not used."""
_STATE = ("journal.db", "journal.db-wal", "journal.db-shm", "logs", "token.key")
"""All that a state has: what SQLite finds beside a journal, it takes for the end of that journal."""


class Backup(Struct, frozen=True, kw_only=True):
    """What a backup says of itself. `log_bytes` counts offsets, given back or not."""

    format: int
    runwire: str
    created_at: datetime
    runs: int
    log_bytes: int


def back_up(state: Path, target: Path) -> Backup:
    """Copy the state directory `state` to `target`, which must be empty or not be there.

    A server may be at work in it. Blocks until all is on disk. Raises StateDirError for a state
    directory or target that cannot be used, StorageUnavailable if the copy cannot be written.
    """
    of = StateDir(state.absolute(), "")
    try:
        _make_empty(target)
        (target / "logs").mkdir(mode=0o700)
        created_at = datetime.now(UTC)
        copy_journal(of.journal, target / "journal.db")
        ids = run_ids(target / "journal.db")
        sizes = {it: size for it in ids if (size := _copy_log(of.logs, target / "logs", it))}
        gone = forget_deleted(target / "journal.db", of.journal, set(ids) - set(sizes))
        _copy_file(of.token_key, target / "token.key")
        backup = Backup(
            format=FORMAT,
            runwire=version("runwire"),
            created_at=created_at,
            runs=len(ids) - gone,
            log_bytes=sum(sizes.values()),
        )
        _sync_all(target)
        _write(target / MARK, msgspec.json.format(msgspec.json.encode(backup)) + b"\n")
        _sync_all(target)
    except OSError as error:
        raise StorageUnavailable(f"{target} cannot be written: {error}") from error
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{of.journal} cannot be copied: {error}") from error
    return backup


def restore(source: Path, state: Path, *, replace: bool = False) -> Backup:
    """Make the backup `source` the state directory `state`. Blocks until all is on disk.

    With `replace`, what is there is moved to a directory `replaced-...` inside it. Raises
    StateDirError if a server is using it, it holds a state and that is not to be replaced, or the
    backup is not whole; StorageUnavailable if it cannot be written.
    """
    backup = _read_mark(source)
    with lock_state_dir(state):
        present = [name for name in (*_STATE, RESTORING) if (state / name).exists()]
        if present and not replace:
            raise StateDirError(
                f"state directory {state} holds a state already ({present[-1]}); "
                "say --replace to move it aside, or name another"
            )
        try:
            _give_to_owner(state, state / "lock")
            fresh = _prepare(source, state)
            if present:
                _move_aside(state)
            for name in _PARTS:
                if (fresh / name).exists():
                    (fresh / name).rename(state / name)
            _sync_all(state)
            fresh.rmdir()
            _sync_all(state)
        except OSError as error:
            raise StorageUnavailable(f"{state} cannot be restored: {error}") from error
    return backup


def _make_empty(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise StateDirError(f"{directory} is not empty: a backup needs a directory of its own")
    directory.chmod(0o700)


def _copy_log(logs: Path, target: Path, run_id: str) -> int:
    """Copy a log and its index, whoever writes it or gives some of it back; the log's size.

    The log goes first, so that the index knows all of its bytes; the header of the index last, so
    that nothing which was given back meanwhile seems to be there. An index that is gone is mended
    by whoever reads the log, from the holes in it.
    """
    with ExitStack() as files:

        def opened(path: Path, flags: int) -> int:
            fd = os.open(path, flags, 0o600)
            files.callback(os.close, fd)
            return fd

        size = 0
        try:
            log = opened(log_path(logs, run_id), os.O_RDONLY | os.O_CLOEXEC)
            size = copy_sparse(log, opened(log_path(target, run_id), _NEW))
            index = opened(index_path(logs, run_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if log_path(logs, run_id).exists():
                return size  # only its index is gone
            log_path(target, run_id).unlink(missing_ok=True)
            return 0
        copy = opened(index_path(target, run_id), _NEW)
        copy_sparse(index, copy)
        os.pwrite(copy, os.pread(index, logindex.HEADER_SIZE, 0), 0)
    return size


def _copy_file(source: Path, target: Path) -> None:
    if source.exists():
        fd = os.open(target, _NEW, 0o600)
        with source.open("rb") as file, os.fdopen(fd, "wb") as copy:
            copy_sparse(file.fileno(), copy.fileno())


def _write(file: Path, content: bytes) -> None:
    """Make a file for its owner alone."""
    with os.fdopen(os.open(file, _NEW, 0o600), "wb") as opened:
        opened.write(content)


def _read_mark(source: Path) -> Backup:
    try:
        backup = msgspec.json.decode((source / MARK).read_bytes(), type=Backup)
    except FileNotFoundError:
        raise StateDirError(f"{source} is no backup, or one that was not finished") from None
    except OSError as error:
        raise StateDirError(f"{source} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise StateDirError(f"{source / MARK} cannot be read: {error}") from error
    if backup.format > FORMAT:
        raise StateDirError(f"{source} was made by a newer Runwire ({backup.runwire})")
    return backup


def _copy_parts(source: Path, fresh: Path) -> None:
    (fresh / "logs").mkdir(mode=0o700)
    for log in sorted((source / "logs").iterdir()):
        _copy_file(log, fresh / "logs" / log.name)
    for name in ("token.key", "journal.db"):
        _copy_file(source / name, fresh / name)


def _prepare(source: Path, state: Path) -> Path:
    """A directory with all that is to be put in place, which is on disk.

    As long as it is there no server starts. So if it cannot be made it goes, and the state is what
    it was before, unless an earlier restore was killed: what that has put in place is not whole.
    """
    fresh = state / RESTORING
    with ExitStack() as undo:
        if fresh.exists():
            _empty(fresh)
        else:
            fresh.mkdir(mode=0o700)
            undo.callback(shutil.rmtree, fresh, ignore_errors=True)
        _copy_parts(source, fresh)
        check_copy(fresh / "journal.db")
        _give_to_owner(state, fresh, *fresh.rglob("*"))
        _sync_all(fresh)
        undo.pop_all()
    return fresh


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _give_to_owner(state: Path, *paths: Path) -> None:
    """What root restores is for the user whose state directory it is."""
    owner = state.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def _move_aside(state: Path) -> None:
    """The journal goes first: without it nobody takes the rest for a state."""
    aside = state / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    aside.mkdir(mode=0o700)
    for name in _STATE:
        if (state / name).exists():
            (state / name).rename(aside / name)
    _sync_all(state)


def _sync_all(directory: Path) -> None:
    """Return when all that was written there is on disk (syncfs(2)); one call, however many."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(directory))
    finally:
        os.close(fd)
