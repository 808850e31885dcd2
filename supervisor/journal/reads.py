"""What can be asked of the journal: plain functions over a connection."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from msgspec import Struct

from supervisor.errors import BadValue, NoSuchRun
from supervisor.journal import codec
from supervisor.model import Actor, Entry, Moment, Run, Status
from supervisor.reach import EVERYTHING, sqlite_glob
from supervisor.runquery import RunPage, RunQuery
from supervisor.wire import EventView

MAX_PAGE = 1000
_LAST_SEQ = 2**63 - 1
EVENT_COLUMNS = (
    "events.seq, run_seq, runs.id, at, mono_ns, boot_id, actor_kind, actor_name, "
    "events.version, payload, log_offset"
)
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM events JOIN runs ON runs.seq = events.run "  # noqa: S608

Value = str | int


def find_run(database: sqlite3.Connection, run_id: str) -> Run:
    """The run with this id. Raises NoSuchRun."""
    row = database.execute(
        "SELECT version, body FROM runs WHERE id = ?", (storable(run_id),)
    ).fetchone()
    if row is None:
        raise no_such_run(run_id)
    return codec.decode_run(*row)


def knows(database: sqlite3.Connection, run: Run) -> bool:
    """Whether this very run is in the journal."""
    found = database.execute("SELECT 1 FROM runs WHERE seq = ? AND id = ?", (run.seq, run.id))
    return found.fetchone() is not None


def list_runs(database: sqlite3.Connection, query: RunQuery) -> RunPage:
    """One page of runs, newest first. Raises BadValue for a limit outside 1 to MAX_PAGE."""
    if not 1 <= query.limit <= MAX_PAGE:
        raise BadValue(f"limit must be 1 to {MAX_PAGE}, not {query.limit}", field="limit")
    # One more than asked for tells whether there is a next page.
    page, values = _page(query, query.limit + 1)
    rows = database.execute(
        f"SELECT version, body FROM runs WHERE seq IN ({page}) ORDER BY seq DESC LIMIT ?",  # noqa: S608 - built of constants
        (*values, query.limit + 1),
    )
    runs = tuple(codec.decode_run(*row) for row in rows)
    if len(runs) <= query.limit:
        return RunPage(runs, None)
    shown = runs[: query.limit]
    return RunPage(shown, shown[-1].seq)


def unfinished(database: sqlite3.Connection) -> list[Run]:
    """All runs that have not ended, oldest first."""
    rows = database.execute(
        "SELECT version, body FROM runs WHERE status IN (?, ?) ORDER BY seq",
        tuple(status for status in Status if not status.ended),
    )
    return [codec.decode_run(*row) for row in rows]


def oldest_ended(database: sqlite3.Connection, limit: int) -> list[tuple[str, datetime]]:
    """The ids and ends of the first `limit` runs that have ended, oldest first."""
    rows = database.execute(
        "SELECT id, json_extract(body, '$.ended_at') FROM runs NOT INDEXED "
        "WHERE status IN (?, ?, ?) ORDER BY seq LIMIT ?",
        (*(status for status in Status if status.ended), limit),
    )
    return [(run_id, datetime.fromisoformat(ended_at)) for run_id, ended_at in rows]


def last_runs(database: sqlite3.Connection) -> dict[str, Run]:
    """The newest run of each job that ever ran, by job name."""
    # Steps from job to job along the index instead of reading all of it.
    rows = database.execute(
        """
        WITH RECURSIVE known (job) AS (
            SELECT min(job) FROM runs WHERE job IS NOT NULL
            UNION ALL
            SELECT (SELECT min(job) FROM runs WHERE job > known.job)
            FROM known WHERE known.job IS NOT NULL
        )
        SELECT job, version, body FROM runs WHERE seq IN (
            SELECT (SELECT max(seq) FROM runs WHERE runs.job = known.job)
            FROM known WHERE known.job IS NOT NULL
        )
        """
    )
    return {job: codec.decode_run(version, body) for job, version, body in rows}


def count_by_status(database: sqlite3.Connection) -> dict[Status, int]:
    """How many runs have each status, zero included."""
    rows = database.execute("SELECT status, count(*) FROM runs GROUP BY status")
    return dict.fromkeys(Status, 0) | {Status(status): count for status, count in rows}


def events_of(database: sqlite3.Connection, run_id: str) -> list[EventView]:
    """A run's events, oldest first. Raises NoSuchRun."""
    rows = database.execute(_EVENTS + "WHERE runs.id = ? ORDER BY run_seq", (storable(run_id),))
    found = [event_from_row(row) for row in rows]
    if not found:  # a run has at least the event that made it
        raise no_such_run(run_id)
    return found


def last_seq(database: sqlite3.Connection) -> int:
    """The seq of the newest event there ever was, deleted ones included; 0 if there was none."""
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if row is None else int(row[0])


def events_since(database: sqlite3.Connection, seq: int, limit: int) -> list[EventView]:
    """Up to `limit` events of all runs after event `seq`, oldest first."""
    rows = database.execute(
        _EVENTS + "WHERE events.seq > ? ORDER BY events.seq LIMIT ?",
        (min(seq, _LAST_SEQ), max(0, min(limit, MAX_PAGE))),
    )
    return [event_from_row(row) for row in rows]


def event_from_row(row: tuple[Any, ...]) -> EventView:
    """The event from a row of EVENT_COLUMNS."""
    seq, run_seq, run_id, at, mono_ns, boot_id, kind, name, version, payload, log_offset = row
    entry = Entry(
        run_id=run_id,
        at=Moment(wall=datetime.fromisoformat(at), mono_ns=mono_ns, boot_id=boot_id),
        by=Actor(kind, name),
        event=codec.decode_event(version, payload),
        log_offset=log_offset,
    )
    return EventView(seq=seq, run_seq=run_seq, version=version, entry=entry)


def _page(query: RunQuery, limit: int) -> tuple[str, list[Value]]:
    """SQL for the newest `limit` seqs that fit, and its values.

    Each walk goes down one index in the order of `seq` and stops early, whatever the number of
    runs; several statuses are several walks.
    """
    before = _LAST_SEQ if query.before is None else min(query.before, _LAST_SEQ)
    filters, filter_values = _filters(query)
    arms: list[str] = []
    values: list[Value] = []
    for walk in _walks(query):
        arms.append(
            f"SELECT * FROM (SELECT runs.seq FROM {walk.source} AND {walk.seq} < ? {filters} "  # noqa: S608 - built of constants
            f"ORDER BY {walk.seq} DESC LIMIT ?)"
        )
        values += [*walk.values, before, *filter_values, limit]
    return " UNION ALL ".join(arms), values


class _Walk(Struct, frozen=True):
    """A way through the runs: `source` is SQL up to a first condition, `seq` what it orders by."""

    source: str
    values: tuple[str, ...] = ()
    seq: str = "runs.seq"


def _walks(query: RunQuery) -> list[_Walk]:
    if query.tag is not None:
        tagged = "run_tags CROSS JOIN runs ON runs.seq = run_tags.run WHERE run_tags.tag = ?"
        return [_Walk(tagged, (storable(query.tag),), seq="run_tags.run")]
    if query.job is not None:
        return [_Walk("runs INDEXED BY runs_by_job WHERE runs.job = ?", (storable(query.job),))]
    if query.text:
        return [_Walk("runs INDEXED BY runs_by_text WHERE TRUE")]
    if query.status:
        by_status = "runs INDEXED BY runs_by_status WHERE runs.status = ?"
        return [_Walk(by_status, (status.value,)) for status in dict.fromkeys(query.status)]
    if query.reach != EVERYTHING:
        return [_Walk("runs INDEXED BY runs_by_name WHERE TRUE")]
    return [_Walk("runs NOT INDEXED WHERE TRUE")]


def _filters(query: RunQuery) -> tuple[str, list[Value]]:
    """Every condition but the tag, again, for those that the walk does not see to."""
    sql = ""
    values: list[Value] = []
    if query.text:
        sql += "AND instr(runs.search, ?) "
        values.append(storable(query.text).casefold())
    if query.job is not None:
        sql += "AND runs.job = ? "
        values.append(storable(query.job))
    if query.status:
        sql += f"AND runs.status IN ({', '.join('?' * len(query.status))}) "
        values += [status.value for status in query.status]
    for column, globs in (("id", query.reach.runs), ("job", query.reach.jobs)):
        if globs is not None:
            tests = " OR ".join([f"runs.{column} GLOB ?"] * len(globs))
            sql += f"AND ({tests or 'FALSE'}) "
            values += [storable(sqlite_glob(glob)) for glob in globs]
    return sql, values


def storable(text: str) -> str:
    """`text` as SQLite can take it: a lone surrogate, which nothing stored has, becomes `?`."""
    return text.encode("utf-8", "replace").decode()


def no_such_run(run_id: str) -> NoSuchRun:
    """The error that says so."""
    return NoSuchRun(f"there is no run {storable(run_id)}")
