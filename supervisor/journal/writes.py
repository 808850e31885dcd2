"""What can be written: plain functions over a connection, each run inside a transaction.

An exception undoes what the function did and nothing else; committing is `writer`'s.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from supervisor.errors import (
    BadValue,
    IllegalTransition,
    RunIdTaken,
    RunNotEnded,
    StorageUnavailable,
)
from supervisor.journal import codec
from supervisor.journal.reads import events_of, find_run, no_such_run, storable
from supervisor.lifecycle import TRANSITIONS, begin
from supervisor.model import Entry, Run, Status, event_name
from supervisor.spec import RunSpec
from supervisor.wire import EventView


class Created(Struct, frozen=True):
    """A run with its `Submitted` event. `new` is False if it was there before the request."""

    run: Run
    event: EventView
    new: bool


def create(
    database: sqlite3.Connection,
    entry: Entry,
    *,
    digest: str | None,
    attempt: int,
    retry_of: str | None,
) -> Created:
    """Insert the run that `entry` begins, or find the one that the same request made before.

    Raises RunIdTaken if the id belongs to another request, BadValue if the run could not be read
    back as it is, such as one with an infinite number in it.
    """
    known = database.execute("SELECT digest FROM runs WHERE id = ?", (entry.run_id,)).fetchone()
    if known is not None:
        if digest is None or known[0] != digest:
            raise RunIdTaken(f"another run has the id {entry.run_id}", field="id")
        return _existing(database, entry.run_id)
    run = begin(entry, seq=_next_seq(database), attempt=attempt, retry_of=retry_of)
    _insert_run(database, run, digest)
    return Created(run=run, event=_append(database, run, entry), new=True)


def record_all(
    database: sqlite3.Connection, changes: Sequence[tuple[Run, Sequence[Entry]]]
) -> list[list[EventView]]:
    """As `record`, for several runs."""
    return [record(database, run, entries) for run, entries in changes]


def record(database: sqlite3.Connection, run: Run, entries: Sequence[Entry]) -> list[EventView]:
    """Store `run` as `entries` have left it, and them.

    Raises NoSuchRun, or IllegalTransition if the stored run cannot have become this one.
    """
    row = database.execute("SELECT status FROM runs WHERE seq = ?", (run.seq,)).fetchone()
    if row is None:
        raise no_such_run(run.id)
    status: Status | None = Status(row[0])
    for entry in entries:
        status = TRANSITIONS[status].get(type(entry.event)) if status is not None else None
    if status is not run.status:
        names = ", ".join(event_name(entry.event) for entry in entries)
        raise IllegalTransition(f"{names} does not lead from {row[0]} to {run.status}")
    database.execute(
        "UPDATE runs SET status = ?, version = ?, body = ? WHERE seq = ?",
        (run.status, codec.RUN_VERSION, codec.encode_run(run), run.seq),
    )
    return [_append(database, run, entry) for entry in entries]


def delete(database: sqlite3.Connection, run_id: str) -> None:
    """Remove an ended run and its events. Raises NoSuchRun, RunNotEnded."""
    row = database.execute("SELECT status FROM runs WHERE id = ?", (storable(run_id),)).fetchone()
    if row is None:
        raise no_such_run(run_id)
    if not Status(row[0]).ended:
        raise RunNotEnded(f"run {run_id} is {row[0]}; only an ended run can be deleted")
    database.execute("DELETE FROM runs WHERE id = ?", (run_id,))


def check(database: sqlite3.Connection) -> None:
    """Change one small row, to find out whether anything can be written."""
    database.execute("UPDATE last_check SET count = count + 1")


def _existing(database: sqlite3.Connection, run_id: str) -> Created:
    first = events_of(database, run_id)[0]
    return Created(run=find_run(database, run_id), event=first, new=False)


def _next_seq(database: sqlite3.Connection) -> int:
    """One more than any run ever had, deleted ones included (SQLite's AUTOINCREMENT)."""
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def _insert_run(database: sqlite3.Connection, run: Run, digest: str | None) -> None:
    database.execute(
        "INSERT INTO runs (seq, id, status, job, search, digest, version, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.seq,
            run.id,
            run.status,
            run.spec.job,
            _search_text(run.id, run.spec),
            digest,
            codec.RUN_VERSION,
            _faithful_body(run),
        ),
    )
    database.executemany(
        "INSERT INTO run_tags (tag, run) VALUES (?, ?)",
        [(tag, run.seq) for tag in set(run.spec.tags)],
    )


def _faithful_body(run: Run) -> str:
    """The run's JSON, known to give the same run again. Raises BadValue if none does."""
    body = codec.encode_run(run)
    try:
        faithful = codec.decode_run(codec.RUN_VERSION, body) == run
    except StorageUnavailable:
        faithful = False
    if not faithful:
        raise BadValue("a value cannot be stored: a number is not finite, or text is not Unicode")
    return body


def _search_text(run_id: str, spec: RunSpec) -> str:
    """Where `RunQuery.text` is looked for."""
    command = spec.shell if spec.shell is not None else shlex.join(spec.argv)
    return "\n".join((run_id, spec.job or "", command)).casefold()


def _append(database: sqlite3.Connection, run: Run, entry: Entry) -> EventView:
    (run_seq,) = database.execute(
        "SELECT coalesce(max(run_seq), 0) + 1 FROM events WHERE run = ?", (run.seq,)
    ).fetchone()
    cursor = database.execute(
        "INSERT INTO events (run, run_seq, at, mono_ns, boot_id, actor_kind, actor_name, kind, "
        "version, payload, log_offset) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.seq,
            run_seq,
            entry.at.wall.isoformat(timespec="microseconds"),
            entry.at.mono_ns,
            entry.at.boot_id,
            entry.by.kind,
            entry.by.name,
            event_name(entry.event),
            codec.EVENT_VERSION,
            codec.encode_event(entry.event),
            entry.log_offset,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has just succeeded
    return EventView(
        seq=cursor.lastrowid, run_seq=run_seq, version=codec.EVENT_VERSION, entry=entry
    )
