"""Faults under the journal: a killed process, a torn file, a full disk."""

from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from supervisor.errors import RunwireError, StateDirError, StorageUnavailable
from supervisor.journal import Journal, open_journal
from supervisor.lifecycle import advance, begin
from supervisor.model import Entry
from supervisor.runquery import RunQuery
from supervisor.spec import RunSpec
from supervisor.wire import EventView

if TYPE_CHECKING:
    from tests.journal.conftest import Facts

TOP = Path(__file__).parents[2]
KIB = 1024
MIB = 1024 * KIB

# Twenty tasks take runs through their lives and say "RUN RUN_SEQ" after each commit.
COMMITTER = """
import os, sys
from pathlib import Path
import trio
from supervisor.clock import now
from supervisor.journal import open_journal
from supervisor.lifecycle import advance
from supervisor.model import *
from supervisor.outcome import *

END = Succeeded(outcome=Exited(exit_code=0))

def say(event):
    os.write(1, f"{event.entry.run_id} {event.run_seq}\\n".encode())

async def live(journal, name):
    number = 0
    while True:
        number += 1
        run_id = f"{name}-{number}"
        spec = RunSpec(argv=("true",), cwd="/")
        created = await journal.create(Entry(run_id, now(), SYSTEM, Submitted(spec)))
        say(created.event)
        run = created.run
        for event in (Dispatched("local"), Started(None), END):
            entry = Entry(run_id, now(), SYSTEM, event)
            run = advance(run, entry)
            say(await journal.record(run, entry))

async def main():
    async with open_journal(Path(sys.argv[1])) as journal, trio.open_nursery() as nursery:
        for name in range(20):
            nursery.start_soon(live, journal, f"r{name}")

trio.run(main)
"""


async def all_events(journal: Journal) -> list[EventView]:
    events: list[EventView] = []
    while page := await journal.events_since(events[-1].seq if events else 0):
        events += page
    return events


async def stored_lives(journal: Journal) -> dict[str, int]:
    """How many events each run has, once it is clear that they make the run that is stored."""
    lives: dict[str, list[Entry]] = {}
    for event in await all_events(journal):
        life = lives.setdefault(event.entry.run_id, [])
        life.append(event.entry)
        assert event.run_seq == len(life)
    for run_id, (first, *later) in lives.items():
        stored = await journal.get(run_id)
        run = begin(first, seq=stored.seq)
        for entry in later:
            run = advance(run, entry)
        assert stored == run
    return {run_id: len(life) for run_id, life in lives.items()}


def committed_until_killed(path: Path, kill_after: int) -> dict[str, int]:
    """How many events of each run were committed, as a process said that is killed then."""
    arguments = [sys.executable, "-c", COMMITTER, str(path)]
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(arguments, cwd=TOP, stdout=subprocess.PIPE, text=True) as committer:
        assert committer.stdout is not None
        for count, line in enumerate(committer.stdout, 1):
            run_id, run_seq = line.split()
            acknowledged[run_id] = int(run_seq)
            if count == kill_after:
                committer.send_signal(signal.SIGKILL)
    assert committer.returncode == -signal.SIGKILL
    return acknowledged


@pytest.mark.parametrize("kill_after", [1, 500, 3000])
async def test_what_a_killed_process_was_answered_is_there(
    path: Path, facts: Facts, kill_after: int
) -> None:
    """SIGKILL between any two instructions; every run is whole, and none has less than was said."""
    acknowledged = committed_until_killed(path, kill_after)
    assert len(acknowledged) > 0
    async with open_journal(path) as journal:
        stored = await stored_lives(journal)
        for run_id, run_seq in acknowledged.items():
            assert stored[run_id] >= run_seq
        assert (await journal.create(facts.submitted("later"))).new


async def test_a_copy_made_by_sqlite_while_it_is_written_is_whole(
    path: Path, tmp_path: Path, facts: Facts
) -> None:
    """As `sqlite3 journal.db ".backup copy.db"` makes it."""
    copy = tmp_path / "copy.db"

    def back_up() -> None:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target, pages=5)

    async def write(journal: Journal, name: str) -> None:
        await facts.lived(journal, (await journal.create(facts.submitted(name))).run)

    async with open_journal(path) as journal:
        await write(journal, "before")
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(write, journal, f"r{number}")
            await trio.to_thread.run_sync(back_up)
    async with open_journal(copy) as journal:
        assert (await stored_lives(journal))["before"] == 4


class Copy:
    """A journal's files as they were at one moment, to be put down again as a fault left them."""

    def __init__(self, path: Path) -> None:
        self.database = path.read_bytes()
        self.log = path.with_name("journal.db-wal").read_bytes()

    def put(self, path: Path, log: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.database)
        path.with_name("journal.db-wal").write_bytes(log)

    def commits(self) -> Iterator[int]:
        """The sizes of the log after each commit (https://www.sqlite.org/walformat.html)."""
        page = int.from_bytes(self.log[8:12], "big")
        for start in range(32, len(self.log), 24 + page):
            if self.log[start + 4 : start + 8] != bytes(4):
                yield start + 24 + page


async def test_a_file_torn_anywhere_holds_the_commits_up_to_there(
    path: Path, tmp_path: Path, facts: Facts
) -> None:
    """As a power cut may leave it: the later commits are gone as a whole, the earlier ones whole."""
    async with open_journal(path) as journal:
        for number in range(2):
            await facts.lived(journal, (await journal.create(facts.submitted(f"r{number}"))).run)
        events = await all_events(journal)
        copy = Copy(path)
    commits = [0, *copy.commits()]
    assert commits[-1] == len(copy.log)
    for place, (whole, following) in enumerate(pairwise([*commits, len(copy.log) + 1])):
        for size in (whole, whole + 1, following - 1):
            torn = tmp_path / f"torn{size}" / "journal.db"
            copy.put(torn, copy.log[:size])
            async with open_journal(torn) as journal:
                await stored_lives(journal)
                left = await all_events(journal)
            assert left == events[: max(0, len(events) + place + 1 - len(commits))]


@contextmanager
def no_file_may_grow_beyond(size: int) -> Iterator[None]:
    """Every write past `size` bytes fails, as on a full disk (EFBIG, setrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def fill(journal: Journal, facts: Facts) -> int:
    """Create runs until one is refused; how many were not."""
    for number in range(10_000):
        try:
            await journal.create(facts.submitted(f"r{number}", long_spec()))
        except StorageUnavailable:
            return number
    pytest.fail("the disk is not full")


def long_spec() -> RunSpec:
    return RunSpec(argv=("echo", "x" * 10 * KIB), cwd="/")


async def goes_on_after_room_is_made(journal: Journal, facts: Facts, kept: int) -> None:
    await journal.check()
    runs = (await journal.list_runs(RunQuery(limit=1000))).runs
    assert {run.id for run in runs} == {f"r{number}" for number in range(kept)}
    assert (await journal.create(facts.submitted(f"r{kept}", long_spec()))).new
    await stored_lives(journal)


async def test_a_full_disk_refuses_and_room_heals(path: Path, facts: Facts) -> None:
    """Nothing of what is refused is kept, nothing of what was kept is lost, reading goes on."""
    async with open_journal(path) as journal:
        with no_file_may_grow_beyond(2 * MIB):
            kept = await fill(journal, facts)
            assert kept > 10
            with pytest.raises(StorageUnavailable, match="cannot be written"):
                await journal.create(facts.submitted("late", long_spec()))
            assert len((await journal.list_runs(RunQuery(limit=1000))).runs) == kept
        await goes_on_after_room_is_made(journal, facts, kept)


async def test_everyone_in_a_batch_is_told_of_a_full_disk(path: Path, facts: Facts) -> None:
    told: list[RunwireError] = []

    async def ask(number: int) -> None:
        with pytest.raises(StorageUnavailable) as caught:
            await journal.create(facts.submitted(f"late{number}", long_spec()))
        told.append(caught.value)

    async with open_journal(path) as journal:
        with no_file_may_grow_beyond(1 * MIB):
            kept = await fill(journal, facts)
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(ask, number)
        assert len(told) == 50
        await goes_on_after_room_is_made(journal, facts, kept)


@contextmanager
def file_system(at: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", at], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", at], check=True)


@pytest.mark.root
async def test_a_full_file_system_refuses_and_room_heals(tmp_path: Path, facts: Facts) -> None:
    small = tmp_path / "small"
    small.mkdir()
    ballast = trio.Path(small / "ballast")
    with file_system(small, "4m"):
        await ballast.write_bytes(bytes(MIB))
        async with open_journal(small / "journal.db") as journal:
            kept = await fill(journal, facts)
            assert len((await journal.list_runs(RunQuery(limit=1000))).runs) == kept
            await ballast.unlink()
            await goes_on_after_room_is_made(journal, facts, kept)


async def test_no_room_to_begin_with_is_said_at_the_start(path: Path) -> None:
    with no_file_may_grow_beyond(KIB), pytest.raises(StateDirError):
        async with open_journal(path):
            pass


def spoil(path: Path, needle: bytes) -> None:
    """Overwrite every place in the file where `needle` stands."""
    path.write_bytes(path.read_bytes().replace(needle, b"#" * len(needle)))


async def test_damage_met_on_the_way_is_said(path: Path, facts: Facts) -> None:
    """A page gone bad in the middle of the file: the run in it is not invented, nor left out."""
    async with open_journal(path) as journal:
        for number in range(200):
            await journal.create(facts.submitted(f"r{number}"))
    spoil(path, b'{"id":"r100"')
    async with open_journal(path) as journal:
        with pytest.raises(StorageUnavailable, match="unreadable"):
            await journal.get("r100")
        with pytest.raises(StorageUnavailable, match="unreadable"):
            await journal.unfinished()
        assert (await journal.get("r99")).id == "r99"
