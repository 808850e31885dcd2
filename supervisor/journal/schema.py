"""The journal's file: its tables, how an older file becomes a current one, how it is opened.

docs/journal.md tells the tables to a stranger. The version of a file is the number of migrations
it has had (`PRAGMA user_version`); a migration that was ever released is never edited.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from supervisor.errors import StateDirError

APPLICATION_ID = 0x52756E77  # "Runw", so that another program's database is recognised
MIB = 1024 * 1024

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE runs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            status TEXT NOT NULL,
            job TEXT,
            search TEXT NOT NULL,
            digest TEXT,
            version INTEGER NOT NULL,
            body TEXT NOT NULL
        )
        """,
        "CREATE INDEX runs_by_status ON runs (status, seq)",
        "CREATE INDEX runs_by_job ON runs (job, seq, status) WHERE job IS NOT NULL",
        # Holds the text apart from the long rows, so that a search reads little.
        "CREATE INDEX runs_by_text ON runs (seq, search)",
        """
        CREATE TABLE run_tags (
            tag TEXT NOT NULL,
            run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
            PRIMARY KEY (tag, run)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX run_tags_by_run ON run_tags (run)",
        """
        CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
            run_seq INTEGER NOT NULL,
            at TEXT NOT NULL,
            mono_ns INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            actor_kind TEXT NOT NULL,
            actor_name TEXT NOT NULL,
            kind TEXT NOT NULL,
            version INTEGER NOT NULL,
            payload TEXT NOT NULL,
            log_offset INTEGER NOT NULL,
            UNIQUE (run, run_seq)
        )
        """,
        "CREATE TABLE last_check (only INTEGER PRIMARY KEY CHECK (only = 1), count INTEGER)",
        "INSERT INTO last_check VALUES (1, 0)",
    ),
    (
        # Holds id and job apart from the long rows, for callers who may see some runs only.
        "CREATE INDEX runs_by_name ON runs (seq, id, job)",
        """
        CREATE TABLE tokens (
            jti TEXT PRIMARY KEY,
            sub TEXT NOT NULL,
            scope TEXT NOT NULL,
            runs TEXT,
            jobs TEXT,
            created_at TEXT NOT NULL,
            actor_kind TEXT NOT NULL,
            actor_name TEXT NOT NULL,
            expires_s INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        # Not a column of tokens: a token that somebody else issued can be revoked too.
        """
        CREATE TABLE revoked_tokens (
            jti TEXT PRIMARY KEY,
            at TEXT NOT NULL,
            actor_kind TEXT NOT NULL,
            actor_name TEXT NOT NULL,
            expires_s INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE TABLE used_tickets (jti TEXT PRIMARY KEY, expires_s INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX tokens_by_expiry ON tokens (expires_s)",
        "CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_s)",
        "CREATE INDEX used_tickets_by_expiry ON used_tickets (expires_s)",
    ),
    (),  # Events in version 2.
)


def open_database(path: Path) -> sqlite3.Connection:
    """The journal at `path`, made or brought up to date, ready to be written.

    The connection may move between threads and never begins a transaction by itself.

    Raises StateDirError if the file is damaged, of another program, of a newer Runwire, or
    cannot be written.
    """
    try:
        torn = _left_open(path)
        path.touch(mode=0o600)
        database = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise StateDirError(f"{path}: the journal cannot be opened: {error}") from error
    try:
        recognise(database, path)
        if torn:
            _check_after_a_crash(database, path)
        _configure(database, path)
        _migrate(database)
    except sqlite3.Error as error:
        database.close()
        raise StateDirError(f"{path}: the journal is damaged or not writable: {error}") from error
    except StateDirError:
        database.close()
        raise
    return database


def open_for_reading(path: Path) -> sqlite3.Connection:
    """One more connection to a journal that `open_database` has opened, which cannot write."""
    database = _connect(path)
    database.execute("PRAGMA query_only = ON")
    return database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # SQLite would otherwise put big sorts into files, just when the disk may be full.
    database.execute("PRAGMA temp_store = MEMORY")
    return database


def recognise(database: sqlite3.Connection, path: Path) -> None:
    """Raise StateDirError unless this is a journal, of a version that we know."""
    version = _number(database, "PRAGMA user_version")
    application = _number(database, "PRAGMA application_id")
    if application != APPLICATION_ID and _number(database, "SELECT count(*) FROM sqlite_schema"):
        raise StateDirError(f"{path}: this is a database of another program, not a journal")
    if version > len(MIGRATIONS):
        raise StateDirError(
            f"{path}: the journal was written by a newer Runwire (format {version}; this one "
            f"knows up to {len(MIGRATIONS)}); install that version, or restore a backup"
        )


def _configure(database: sqlite3.Connection, path: Path) -> None:
    (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StateDirError(f"{path}: this file system cannot hold a journal (SQLite WAL)")
    # FULL syncs the WAL at each commit: what was answered is there after a power cut.
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    database.execute(f"PRAGMA journal_size_limit = {64 * MIB}")


def whole(database: sqlite3.Connection) -> str | None:
    """Why the file is damaged, in SQLite's words; None if it is whole. Reads all of it."""
    (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
    return None if answer == "ok" else str(answer).splitlines()[-1]


def _left_open(path: Path) -> bool:
    """Whether whoever wrote it last did not close it: an orderly end leaves no such file."""
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _check_after_a_crash(database: sqlite3.Connection, path: Path) -> None:
    fault = whole(database)
    if fault is not None:
        raise StateDirError(
            f"{path}: the journal is damaged ({fault}); restore a backup, docs/operations.md"
        )


def _migrate(database: sqlite3.Connection) -> None:
    """Take the steps that are missing, each whole or not at all."""
    for version in range(_number(database, "PRAGMA user_version"), len(MIGRATIONS)):
        database.execute("BEGIN IMMEDIATE")
        for statement in MIGRATIONS[version]:
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {version + 1}")
        database.execute("COMMIT")


def _number(database: sqlite3.Connection, question: str) -> int:
    (number,) = database.execute(question).fetchone()
    return int(number)
