"""Faults under the journal: a killed process, a torn file, a full disk."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from supervisor.errors import RunwireError, StateDirError, StorageUnavailable
from supervisor.journal import Journal, open_journal
from supervisor.lifecycle import advance, begin
from supervisor.model import Entry, RunQuery, RunSpec
from supervisor.wire import EventView

if TYPE_CHECKING:
    from conftest import Facts

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


@pytest.mark.parametrize("kill_after", [1, 500, 3000])
async def test_what_a_killed_process_was_answered_is_there(
    path: Path, facts: Facts, kill_after: int
) -> None:
    """SIGKILL between any two instructions; every run is whole, and none has less than was said."""
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

    async with open_journal(path) as journal:
        stored = await stored_lives(journal)
        assert len(acknowledged) > 0
        for run_id, run_seq in acknowledged.items():
            assert stored[run_id] >= run_seq
        assert (await journal.create(facts.submitted("later"))).new


async def test_a_file_torn_anywhere_holds_the_commits_up_to_there(
    path: Path, tmp_path: Path, facts: Facts
) -> None:
    """As a power cut may leave it: the later commits are gone as a whole, the earlier ones whole."""
    torn = tmp_path / "torn" / "journal.db"
    torn.parent.mkdir()
    async with open_journal(path) as journal:
        for number in range(4):
            run = (await journal.create(facts.submitted(f"r{number}"))).run
            for run, entry in facts.life(run):
                await journal.record(run, entry)
        events = await all_events(journal)
        database = path.read_bytes()
        log = path.with_name("journal.db-wal").read_bytes()
    counts = []
    for size in [*range(0, len(log), 997), len(log)]:
        torn.write_bytes(database)
        torn.with_name("journal.db-wal").write_bytes(log[:size])
        async with open_journal(torn) as journal:
            await stored_lives(journal)
            left = await all_events(journal)
        assert left == events[: len(left)]
        counts.append(len(left))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert set(counts) == set(range(len(events) + 1))


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


@pytest.mark.root
async def test_a_full_file_system_refuses_and_room_heals(tmp_path: Path, facts: Facts) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        ballast = small / "ballast"
        ballast.write_bytes(bytes(MIB))
        async with open_journal(small / "journal.db") as journal:
            kept = await fill(journal, facts)
            assert len((await journal.list_runs(RunQuery(limit=1000))).runs) == kept
            ballast.unlink()
            await goes_on_after_room_is_made(journal, facts, kept)
    finally:
        subprocess.run(["umount", small], check=True)


async def test_no_room_to_begin_with_is_said_at_the_start(path: Path) -> None:
    with no_file_may_grow_beyond(KIB), pytest.raises(StateDirError):
        async with open_journal(path):
            pass


async def test_damage_met_on_the_way_is_said(path: Path, facts: Facts) -> None:
    """A page gone bad in the middle of the file: the run in it is not invented, nor left out."""
    async with open_journal(path) as journal:
        for number in range(200):
            await journal.create(facts.submitted(f"r{number}"))
    damaged = bytearray(path.read_bytes())
    for at in [i for i in range(len(damaged)) if damaged.startswith(b'{"id":"r100"', i)]:
        damaged[at : at + 12] = b"#" * 12
    path.write_bytes(damaged)
    async with open_journal(path) as journal:
        with pytest.raises(StorageUnavailable, match="unreadable"):
            await journal.get("r100")
        with pytest.raises(StorageUnavailable, match="unreadable"):
            await journal.unfinished()
        assert (await journal.get("r99")).id == "r99"
