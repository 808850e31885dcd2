"""Group commit: one thread writes, and whoever waits meanwhile shares the next commit.

A commit is a sync of the disk; the writes that gather while one is under way become one
transaction together. Each stands in a savepoint of its own, so that one that fails undoes and
tells only itself. A failure of the storage undoes them all and tells them all.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import trio

from supervisor.errors import StorageUnavailable

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], _T]

MAX_BATCH = 1000

# What is wrong with one write alone; any other sqlite3.Error is trouble with the storage.
_OF_ONE_WRITE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)


class Write(Generic[_T]):
    """One write on its way: what to do, and then what came of it."""

    def __init__(self, work: Work[_T]) -> None:
        """`work` is called inside a transaction, in whatever thread commits."""
        self.work = work
        self.result: list[_T] = []
        self.error: Exception | None = None
        self.answered = trio.Event()

    def answer(self) -> _T:
        """What `work` returned, now committed. Raises what it raised, or StorageUnavailable."""
        if self.error is not None:
            raise self.error
        return self.result[0]


class Writer(Protocol):
    """Commits what it is given, before it returns."""

    async def write(self, work: Work[_T], *, may_abandon: bool = False) -> _T:
        """Commit `work` and return its result.

        A write that was handed over is waited for even if the caller is cancelled, so that the
        caller always learns whether it happened; with `may_abandon`, cancellation only stops
        the waiting. Raises what `work` raises, or StorageUnavailable; nothing is applied then.
        """


class InlineWriter:
    """Commits in the caller: for tests with a virtual clock, which does not wait for threads."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """`database` is the writer's from now on."""
        self._database = database

    async def write(self, work: Work[_T], *, may_abandon: bool = False) -> _T:  # noqa: ARG002 - see Writer
        """See Writer."""
        await trio.lowlevel.checkpoint()
        write = Write(work)
        commit(self._database, [write])
        return write.answer()


class ThreadWriter:
    """Commits in a thread of its own, many at once. `commits` counts the transactions."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """`database` is the writer's from now on. To be made inside Trio."""
        self.commits = 0
        self._database = database
        self._trio = trio.lowlevel.current_trio_token()
        self._writes: queue.SimpleQueue[Write[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="journal")
        self._thread.start()

    async def write(self, work: Work[_T], *, may_abandon: bool = False) -> _T:
        """See Writer."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise StorageUnavailable("the journal is closed")
        write = Write(work)
        self._writes.put(write)
        with trio.CancelScope(shield=not may_abandon):
            await write.answered.wait()
        return write.answer()

    async def aclose(self) -> None:
        """Commit what was handed over, then end the thread."""
        self._closed = True
        self._writes.put(None)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    def _serve(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._take()
            commit(self._database, batch)
            self.commits += 1
            self._tell(batch)

    def _take(self) -> tuple[list[Write[Any]], bool]:
        """Wait for one write, then take all that are there; False if no more will come."""
        batch: list[Write[Any]] = []
        write = self._writes.get()
        while write is not None:
            batch.append(write)
            if len(batch) == MAX_BATCH or self._writes.empty():
                return batch, True
            write = self._writes.get()
        return batch, False

    def _tell(self, batch: Sequence[Write[Any]]) -> None:
        def tell() -> None:
            for write in batch:
                write.answered.set()

        with contextlib.suppress(trio.RunFinishedError):  # nobody is left to be told
            self._trio.run_sync_soon(tell)


def commit(database: sqlite3.Connection, batch: Sequence[Write[Any]]) -> None:
    """Carry all of `batch` out in one transaction and fill in what came of each. Never raises."""
    try:
        database.execute("BEGIN IMMEDIATE")
        for write in batch:
            _carry_out(database, write)
        database.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - each waiter must be told, whatever it was
        _fail(database, batch, error)


def _carry_out(database: sqlite3.Connection, write: Write[Any]) -> None:
    database.execute("SAVEPOINT one_write")
    try:
        write.result = [write.work(database)]
    except _OF_ONE_WRITE as error:
        write.error = error
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - it is raised again where the result is awaited
        write.error = error
    if write.error is not None:
        database.execute("ROLLBACK TO one_write")
    database.execute("RELEASE one_write")


def _fail(database: sqlite3.Connection, batch: Sequence[Write[Any]], error: Exception) -> None:
    """Undo the transaction and tell every member, also those that had failed by themselves.

    Such a member may have been judged by what another one wrote, which is undone now.
    """
    if database.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # then BEGIN fails and it is tried again here
            database.execute("ROLLBACK")
    for write in batch:
        write.error = StorageUnavailable(f"the journal cannot be written: {error}")
        write.error.__cause__ = error
