"""The journal: every run, event and issued token, in one SQLite file, written before shown.

What `create`, `record` or `delete` returned is on disk and survives SIGKILL and a power cut.
Reads see every commit that was answered before they began. Nothing here decides: `lifecycle`
says what an event makes of a run, the journal keeps it.

`schema` has the tables, `codec` the JSON in them, `writes`, `reads` and `tokens` the statements,
`writer` the thread and the group commit.
"""

from __future__ import annotations

import functools
import queue
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import trio

from supervisor.errors import StorageUnavailable
from supervisor.journal import reads, tokens, writes
from supervisor.journal.reads import MAX_PAGE
from supervisor.journal.schema import open_database, open_for_reading
from supervisor.journal.writer import InlineWriter, ThreadWriter, Writer
from supervisor.journal.writes import Created
from supervisor.model import Actor, Entry, Run, Status
from supervisor.runquery import RunPage, RunQuery
from supervisor.wire import EventView, TokenView

__all__ = ["MAX_PAGE", "Created", "Journal", "open_journal"]

READERS = 2  # threads that may read at once; each has a connection

_T = TypeVar("_T")


class Journal:
    """All runs, events and tokens. Every method may raise StorageUnavailable; nothing is changed then."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        """See open_journal, which is how to get one."""
        self._writer = writer
        self._readers = readers

    async def create(
        self,
        entry: Entry,
        *,
        digest: str | None = None,
        attempt: int = 1,
        retry_of: str | None = None,
    ) -> Created:
        """Store the run that a `Submitted` entry begins, under the id in the entry.

        `digest` stands for the request. If the id is taken by a run with the same digest, that
        run is returned, with `new` False and nothing stored; a digest of None equals no other.

        Raises RunIdTaken, or BadValue for a spec that could not be read back as it is.
        """
        return await self._writer.write(
            functools.partial(
                writes.create, entry=entry, digest=digest, attempt=attempt, retry_of=retry_of
            )
        )

    async def record(self, run: Run, entry: Entry) -> EventView:
        """Store `run` as `entry` has left it, and the entry as its next event.

        Raises NoSuchRun, or IllegalTransition if the stored run cannot have become this one.
        """
        return (await self.record_all([(run, [entry])]))[0][0]

    async def record_all(
        self, changes: Sequence[tuple[Run, Sequence[Entry]]]
    ) -> list[list[EventView]]:
        """Store each run as its entries have left it, and them as its next events: all or nothing.

        Raises as `record`.
        """
        return await self._writer.write(functools.partial(writes.record_all, changes=changes))

    async def delete(self, run_id: str) -> None:
        """Forget an ended run and its events; their `seq` are never used again.

        Raises NoSuchRun, RunNotEnded.
        """
        await self._writer.write(functools.partial(writes.delete, run_id=run_id))

    async def check(self) -> None:
        """Return if the journal can be written now, by writing to it. May be cancelled."""
        await self._writer.write(writes.check, may_abandon=True)

    async def get(self, run_id: str) -> Run:
        """The run with this id. Raises NoSuchRun."""
        return await self._readers.read(functools.partial(reads.find_run, run_id=run_id))

    def knows_now(self, run: Run) -> bool:
        """Whether this run is known, and not forgotten, or another under its id. Blocks a moment."""
        return self._readers.read_now(functools.partial(reads.knows, run=run))

    async def list_runs(self, query: RunQuery) -> RunPage:
        """One page of runs, newest first. Raises BadValue for a limit outside 1 to MAX_PAGE."""
        return await self._readers.read(functools.partial(reads.list_runs, query=query))

    async def unfinished(self) -> list[Run]:
        """All runs that have not ended, oldest first."""
        return await self._readers.read(reads.unfinished)

    async def oldest_ended(self, limit: int) -> list[tuple[str, datetime]]:
        """The ids and ends of the first `limit` runs that have ended, oldest first."""
        return await self._readers.read(functools.partial(reads.oldest_ended, limit=limit))

    async def last_runs(self) -> dict[str, Run]:
        """The newest run of each job that ever ran, by job name."""
        return await self._readers.read(reads.last_runs)

    async def count_by_status(self) -> dict[Status, int]:
        """How many runs have each status, zero included."""
        return await self._readers.read(reads.count_by_status)

    async def events(self, run_id: str) -> Sequence[EventView]:
        """A run's events, oldest first. Raises NoSuchRun."""
        return await self._readers.read(functools.partial(reads.events_of, run_id=run_id))

    async def last_seq(self) -> int:
        """The seq of the newest event there ever was, 0 if there was none."""
        return await self._readers.read(reads.last_seq)

    async def events_since(self, seq: int, limit: int = MAX_PAGE) -> Sequence[EventView]:
        """Up to `limit` events of all runs after event `seq`, oldest first; at most MAX_PAGE.

        The seqs rise and may have holes, where a run was deleted. An event with a lower seq
        than one already seen never appears later.
        """
        return await self._readers.read(functools.partial(reads.events_since, seq=seq, limit=limit))

    async def add_token(self, token: TokenView) -> None:
        """Store a token that is about to be issued. Its `jti` must be new."""
        await self._writer.write(functools.partial(tokens.add, token=token))

    async def list_tokens(self) -> Sequence[TokenView]:
        """Every token that was issued and not yet pruned, newest first."""
        return await self._readers.read(tokens.list_all)

    async def revoke_token(
        self, jti: str, *, at: datetime, by: Actor, until: datetime | None = None
    ) -> datetime:
        """Put a token on the list of those revoked; once is as good as twice. Returns its expiry.

        `until` is the expiry of a token that somebody else issued.

        Raises NoSuchToken if there is neither a token issued here nor `until`.
        """
        return await self._writer.write(
            functools.partial(tokens.revoke, jti=jti, at=at, by=by, until=until)
        )

    async def revoked_tokens(self) -> Mapping[str, datetime]:
        """The expiry of every revoked token, by its `jti`."""
        return await self._readers.read(tokens.revoked)

    async def use_ticket(self, jti: str, *, expires_at: datetime) -> bool:
        """Note that the ticket is used now. False if it was used before."""
        return await self._writer.write(
            functools.partial(tokens.use_ticket, jti=jti, expires_at=expires_at)
        )

    async def prune_tokens(self, *, expired_before: datetime) -> None:
        """Forget tokens, revocations and tickets that expired before then."""
        await self._writer.write(functools.partial(tokens.prune, expired_before=expired_before))


class Readers:
    """Reads in worker threads, on connections that cannot write, or in the caller if `inline`."""

    def __init__(self, path: Path, *, inline: bool) -> None:
        """Opens READERS connections to the journal at `path`."""
        self._inline = inline
        self._limiter = trio.CapacityLimiter(READERS)
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for _ in range(READERS):
            self._idle.put(open_for_reading(path))

    async def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What `work` returns. Raises what it raises, or StorageUnavailable."""
        if self._inline:
            await trio.lowlevel.checkpoint()
            return self.read_now(work)
        return await trio.to_thread.run_sync(self.read_now, work, limiter=self._limiter)

    def close(self) -> None:
        """Close the connections; no read may be under way."""
        while not self._idle.empty():
            self._idle.get().close()

    def read_now(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """As `read`, in whatever thread it is called, which waits for a connection."""
        database = self._idle.get()
        try:
            return work(database)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"the journal cannot be read: {error}") from error
        finally:
            self._idle.put(database)


@asynccontextmanager
async def open_journal(path: Path, *, inline: bool = False) -> AsyncIterator[Journal]:
    """The journal at `path`, made if it is not there, brought up to date if it is older.

    With `inline` everything happens in the caller, which blocks the event loop: for tests with
    a virtual clock.

    Raises StateDirError if the file is damaged, of another program, of a newer Runwire, or
    cannot be written.
    """
    if inline:
        with closing(open_database(path)) as database, closing(Readers(path, inline=True)) as ro:
            yield Journal(InlineWriter(database), ro)
        return
    with (
        closing(await trio.to_thread.run_sync(open_database, path)) as database,
        closing(Readers(path, inline=False)) as readers,
    ):
        writer = ThreadWriter(database)
        try:
            yield Journal(writer, readers)
        finally:
            await writer.aclose()
