"""Group commit: who shares a commit, and who learns what when something fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.errors import NoSuchRun, StorageUnavailable
from supervisor.journal.schema import open_database
from supervisor.journal.writer import InlineWriter, ThreadWriter, Write, commit

Insert = Callable[[sqlite3.Connection], str]


def insert(tag: str) -> Insert:
    """A small write that can be seen afterwards."""

    def work(database: sqlite3.Connection) -> str:
        database.execute(
            "INSERT INTO runs (id, status, search, version, body) VALUES (?, '', '', 1, '')", (tag,)
        )
        return tag

    return work


def insert_and_raise(error: Exception) -> Insert:
    def work(database: sqlite3.Connection) -> str:
        insert("half done")(database)
        raise error

    return work


def break_the_commit(database: sqlite3.Connection) -> str:
    """Leave the transaction in a state that SQLite refuses to commit."""
    database.execute("PRAGMA defer_foreign_keys = ON")
    database.execute("INSERT INTO run_tags (tag, run) VALUES ('x', 123456)")
    return "well done, so far"


def inserted(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT id FROM runs ORDER BY seq")]


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(path)) as opened:
        yield opened


@pytest.fixture
async def writer(database: sqlite3.Connection) -> AsyncIterator[ThreadWriter]:
    made = ThreadWriter(database)
    yield made
    await made.aclose()


@asynccontextmanager
async def held_up(writer: ThreadWriter, nursery: trio.Nursery) -> AsyncIterator[None]:
    """The writer stands in the middle of a commit while this is open."""
    inside, go_on = threading.Event(), threading.Event()

    def stand(_database: sqlite3.Connection) -> None:
        inside.set()
        go_on.wait(300)

    nursery.start_soon(writer.write, stand)
    await trio.to_thread.run_sync(inside.wait, 300)
    try:
        yield
    finally:
        go_on.set()


async def test_what_is_returned_is_committed(writer: ThreadWriter, path: Path) -> None:
    assert await writer.write(insert("a")) == "a"
    with closing(sqlite3.connect(path)) as other:
        assert inserted(other) == ["a"]


async def test_writes_that_gather_share_a_commit(
    writer: ThreadWriter, database: sqlite3.Connection
) -> None:
    names = [f"w{i}" for i in range(100)]
    async with trio.open_nursery() as nursery, held_up(writer, nursery):
        for name in names:
            nursery.start_soon(writer.write, insert(name))
        await trio.testing.wait_all_tasks_blocked()
    assert sorted(inserted(database)) == sorted(names)
    assert writer.commits == 2


async def test_a_failing_write_fails_alone(
    writer: ThreadWriter, database: sqlite3.Connection
) -> None:
    """Its error reaches its own caller, what it did is undone, its neighbours are committed."""
    told: list[str] = []

    async def fail(error: Exception) -> None:
        with pytest.raises(type(error)) as caught:
            await writer.write(insert_and_raise(error))
        told.append(str(caught.value))

    async def break_a_rule() -> None:
        with pytest.raises(sqlite3.IntegrityError):
            await writer.write(
                lambda database: database.execute("INSERT INTO last_check VALUES (2, 0)")
            )
        told.append("rule")

    async with trio.open_nursery() as nursery, held_up(writer, nursery):
        nursery.start_soon(writer.write, insert("before"))
        nursery.start_soon(fail, NoSuchRun("no such run"))
        nursery.start_soon(fail, ZeroDivisionError("a bug"))
        nursery.start_soon(break_a_rule)
        nursery.start_soon(writer.write, insert("after"))
        await trio.testing.wait_all_tasks_blocked()
    assert sorted(inserted(database)) == ["after", "before"]
    assert sorted(told) == ["a bug", "no such run", "rule"]
    assert writer.commits == 2


def test_a_failing_commit_reaches_everyone_and_applies_nothing(
    database: sqlite3.Connection,
) -> None:
    """Also those that had failed by themselves: they judged by what is undone now."""
    batch: list[Write[str]] = [
        Write(insert("a")),
        Write(insert_and_raise(NoSuchRun("no such run"))),
        Write(break_the_commit),
        Write(insert("b")),
    ]
    commit(database, batch)
    assert inserted(database) == []
    errors = []
    for write in batch:
        with pytest.raises(StorageUnavailable) as caught:
            write.answer()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 4

    again = Write(insert("c"))
    commit(database, [again])
    assert again.answer() == "c"
    assert inserted(database) == ["c"]


def test_storage_that_fails_in_the_middle_fails_the_whole_batch(
    database: sqlite3.Connection,
) -> None:
    """A full disk may show at any statement; who came before it is undone and told as well."""
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    batch = [Write(insert("small")), Write(insert("x" * 100_000)), Write(insert("late"))]
    commit(database, batch)
    for write in batch:
        with pytest.raises(StorageUnavailable, match="full"):
            write.answer()
    database.execute("PRAGMA max_page_count = 1000000")
    assert inserted(database) == []
    again = Write(insert("x" * 100_000))
    commit(database, [again])
    assert again.answer() == "x" * 100_000


async def test_a_cancelled_caller_still_learns_that_it_is_committed(
    writer: ThreadWriter, database: sqlite3.Connection
) -> None:
    """Otherwise a request could vanish between the disk and the one who has to act on it."""
    result: list[str] = []

    async def write(scope: trio.CancelScope) -> None:
        with scope:
            result.append(await writer.write(insert("a")))

    async with trio.open_nursery() as nursery, held_up(writer, nursery):
        scope = trio.CancelScope()
        nursery.start_soon(write, scope)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert result == []
    assert result == ["a"]
    assert inserted(database) == ["a"]


async def test_a_caller_cancelled_before_writes_nothing(
    writer: ThreadWriter, database: sqlite3.Connection
) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.write(insert("a"))
    assert scope.cancelled_caught
    assert inserted(database) == []


async def test_a_write_that_may_be_abandoned_stops_waiting(writer: ThreadWriter) -> None:
    """So that a check of readiness has a time limit even if the disk hangs."""
    async with trio.open_nursery() as nursery, held_up(writer, nursery):
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel_when_blocked, scope)
            await writer.write(insert("a"), may_abandon=True)
        assert scope.cancelled_caught


async def _cancel_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()


async def test_closing_commits_what_was_handed_over(database: sqlite3.Connection) -> None:
    writer = ThreadWriter(database)
    async with trio.open_nursery() as nursery, held_up(writer, nursery):
        for i in range(10):
            nursery.start_soon(writer.write, insert(f"w{i}"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(writer.aclose)
        await trio.testing.wait_all_tasks_blocked()
    assert len(inserted(database)) == 10
    with pytest.raises(StorageUnavailable, match="closed"):
        await writer.write(insert("late"))


async def test_more_than_fits_one_commit_is_all_committed(
    writer: ThreadWriter, database: sqlite3.Connection
) -> None:
    async with trio.open_nursery() as nursery, held_up(writer, nursery):
        for i in range(2500):
            nursery.start_soon(writer.write, insert(f"w{i}"))
        await trio.testing.wait_all_tasks_blocked()
    assert len(inserted(database)) == 2500
    assert writer.commits == 4


async def test_inline_it_keeps_the_same_promises(database: sqlite3.Connection) -> None:
    writer = InlineWriter(database)
    assert await writer.write(insert("a")) == "a"
    with pytest.raises(NoSuchRun):
        await writer.write(insert_and_raise(NoSuchRun("no such run")))
    with pytest.raises(StorageUnavailable):
        await writer.write(break_the_commit)
    assert inserted(database) == ["a"]
