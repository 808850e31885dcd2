"""Copies of a journal: made while it is written, and checked before anybody relies on them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from supervisor.errors import StateDirError, StorageUnavailable
from supervisor.journal.schema import recognise, whole

DELETION_S = 5.0
"""How long a run may take to be forgotten whose log is removed. One that is not has lost its log."""
_LOOK_EVERY_S = 0.01


def copy_journal(source: Path, target: Path) -> None:
    """Make `target` a copy of `source` as it is at one moment. The server may go on writing.

    The copy is one file. Raises StateDirError if the source is no journal of ours, or damaged, and
    StorageUnavailable if the copy cannot be written.
    """
    with closing(_open(source)) as journal:
        try:
            recognise(journal, source)
            target.touch(mode=0o600)
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                # In one go: piece by piece it would begin anew at each commit in between.
                journal.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
        except (OSError, sqlite3.Error) as error:
            raise StorageUnavailable(f"{source} cannot be copied: {error}") from error
    check_copy(target)


def check_copy(path: Path) -> None:
    """Raise StateDirError unless the file is a whole journal that this Runwire can read."""
    with closing(_open(path)) as copy:
        _check(copy, path)


def check_journal(path: Path) -> set[str]:
    """As `check_copy`, for one that a server may be using; the ids of all its runs.

    Changes nothing, not even after a crash.
    """
    log = path.with_name(path.name + "-wal")
    # Without a log, SQLite would make one to read.
    how = "mode=ro" if log.exists() else "immutable=1"
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
    except sqlite3.Error as error:
        raise StateDirError(f"{path}: the journal cannot be opened: {error}") from error
    with closing(database):
        _check(database, path)
        made = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs'").fetchone()
        return set(_ids(database)) if made else set()


def _check(database: sqlite3.Connection, path: Path) -> None:
    try:
        recognise(database, path)
        fault = whole(database)
    except sqlite3.Error as error:
        raise StateDirError(f"{path}: the journal is damaged: {error}") from error
    if fault is not None:
        raise StateDirError(f"{path}: the journal is damaged: {fault}")


def run_ids(path: Path) -> list[str]:
    """The ids of all runs in a journal, oldest first."""
    with closing(_open(path)) as journal:
        return _ids(journal)


def _ids(journal: sqlite3.Connection) -> list[str]:
    return [row[0] for row in journal.execute("SELECT id FROM runs ORDER BY seq")]


def forget_deleted(copy: Path, source: Path, perhaps: Collection[str]) -> int:
    """Take runs out of a copy that were deleted from `source` since; how many they were.

    `perhaps` are those for which that is to be found out, since they have no log. A log goes before
    its run does, so those that had one are given DELETION_S to be gone. Blocks: for a worker thread.
    """
    with closing(_open(source)) as journal, closing(_open(copy)) as database:
        known = "SELECT 1 FROM runs WHERE id = ?"
        had_one = "SELECT 1 FROM runs WHERE id = ? AND json_extract(body, '$.log_size') > 0"
        going = [it for it in perhaps if database.execute(had_one, (it,)).fetchone()]
        give_up_at = time.monotonic() + DELETION_S
        while time.monotonic() < give_up_at and going:
            time.sleep(_LOOK_EVERY_S)
            going = [it for it in going if journal.execute(known, (it,)).fetchone()]
        gone = [(it,) for it in perhaps if journal.execute(known, (it,)).fetchone() is None]
        database.execute("PRAGMA foreign_keys = ON")
        database.executemany("DELETE FROM runs WHERE id = ?", gone)
    return len(gone)


def _open(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StateDirError(f"{path}: there is no journal")
    try:
        return sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        raise StateDirError(f"{path}: the journal cannot be opened: {error}") from error
