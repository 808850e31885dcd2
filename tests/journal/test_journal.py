"""The journal as its users see it: what went in is there, and stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from supervisor.errors import (
    BadValue,
    IllegalTransition,
    NoSuchRun,
    RunIdTaken,
    RunNotEnded,
    StorageUnavailable,
)
from supervisor.journal import Journal, open_journal
from supervisor.lifecycle import advance
from supervisor.model import Cancelled, Dispatched, Requeued, Started, Status, Succeeded
from supervisor.outcome import NotStarted
from supervisor.runquery import RunQuery
from supervisor.spec import RunSpec

if TYPE_CHECKING:
    from tests.journal.conftest import Facts


def modes(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}


def sizes(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in directory.iterdir()}


async def test_what_went_in_comes_out(journal: Journal, facts: Facts) -> None:
    """A run and its events read back equal to what was stored, in order, numbered from 1."""
    submitted = facts.submitted("r")
    created = await journal.create(submitted)
    recorded = [created.event]
    run = created.run
    for run, entry in facts.life(created.run):
        recorded.append(await journal.record(run, entry))
    assert created.new
    assert await journal.get("r") == run
    assert run.status is Status.SUCCEEDED
    assert await journal.events("r") == recorded
    assert recorded[0].entry == submitted
    assert [event.run_seq for event in recorded] == [1, 2, 3, 4]


async def test_it_is_all_there_after_reopening(path: Path, facts: Facts) -> None:
    async with open_journal(path) as journal:
        run = await facts.lived(journal, (await journal.create(facts.submitted("r"))).run)
        events = await journal.events("r")
    async with open_journal(path) as journal:
        assert await journal.get("r") == run
        assert await journal.events("r") == events


async def test_runs_are_numbered_in_the_order_of_their_creation(
    journal: Journal, facts: Facts
) -> None:
    runs = [(await journal.create(facts.submitted(f"r{i}"))).run for i in range(3)]
    assert [run.seq for run in runs] == [1, 2, 3]


async def test_attempt_and_origin_of_a_retry_are_kept(journal: Journal, facts: Facts) -> None:
    created = await journal.create(facts.submitted("again"), attempt=2, retry_of="first")
    assert (created.run.attempt, created.run.retry_of) == (2, "first")
    assert await journal.get("again") == created.run


class TestTheSameIdAgain:
    """A client's own id makes a request idempotent."""

    async def test_the_same_request_finds_the_run_as_it_is_now(
        self, journal: Journal, facts: Facts
    ) -> None:
        first = await journal.create(facts.submitted("mine"), digest="request")
        run, entry = next(facts.life(first.run))
        await journal.record(run, entry)

        again = await journal.create(facts.submitted("mine"), digest="request")

        assert not again.new
        assert again.run == run
        assert again.event == first.event
        assert len(await journal.events("mine")) == 2

    @pytest.mark.parametrize(
        ("first", "second"), [("a", "b"), ("a", None), (None, "a"), (None, None)]
    )
    async def test_another_request_is_refused_and_changes_nothing(
        self, journal: Journal, facts: Facts, first: str | None, second: str | None
    ) -> None:
        created = await journal.create(facts.submitted("mine"), digest=first)
        other = facts.submitted("mine", RunSpec(argv=("false",), cwd="/"))
        with pytest.raises(RunIdTaken) as refusal:
            await journal.create(other, digest=second)
        assert refusal.value.field == "id"
        assert await journal.get("mine") == created.run
        assert await journal.events("mine") == [created.event]

    async def test_at_the_same_moment_only_one_creates_it(
        self, journal: Journal, facts: Facts
    ) -> None:
        answers: list[bool] = []

        async def ask() -> None:
            answers.append((await journal.create(facts.submitted("mine"), digest="d")).new)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert sorted(answers) == [False] * 19 + [True]


class TestRefusals:
    """What cannot be is refused, and leaves the journal as it was."""

    async def test_an_unknown_run(self, journal: Journal, facts: Facts) -> None:
        run = (await journal.create(facts.submitted("r"))).run
        run, entry = next(facts.life(run))
        for _, ended in facts.life(run, Cancelled(message="")):
            await journal.record(advance(run, ended), ended)
        await journal.delete("r")
        for attempt in (
            lambda: journal.get("r"),
            lambda: journal.events("r"),
            lambda: journal.delete("r"),
            lambda: journal.record(run, entry),
            lambda: journal.get("\ud800"),
            lambda: journal.delete("\ud800"),
        ):
            with pytest.raises(NoSuchRun):
                await attempt()

    async def test_a_change_that_the_stored_status_does_not_allow(
        self, journal: Journal, facts: Facts
    ) -> None:
        """Two who advance the same run side by side cannot both succeed with what contradicts."""
        queued = (await journal.create(facts.submitted("r"))).run
        [(cancelled, entry)] = facts.life(queued, Cancelled(message="no"))
        await journal.record(cancelled, entry)
        [(dispatched, late)] = facts.life(queued, Dispatched("local"))
        with pytest.raises(IllegalTransition):
            await journal.record(dispatched, late)
        assert await journal.get("r") == cancelled
        assert len(await journal.events("r")) == 2

    async def test_several_events_of_which_one_is_not_allowed(
        self, journal: Journal, facts: Facts
    ) -> None:
        """All of them are stored, in their order, or none is."""
        queued = (await journal.create(facts.submitted("r"))).run
        life = list(facts.life(queued))
        ended, entries = life[-1][0], [entry for _run, entry in life]
        for bad in (entries[:2], [*entries, entries[-1]], entries[::-1], []):
            with pytest.raises(IllegalTransition):
                await journal.record_all([(ended, bad)])
        assert await journal.get("r") == queued
        assert len(await journal.events("r")) == 1
        (views,) = await journal.record_all([(ended, entries)])
        assert [view.entry for view in views] == entries
        assert [view.run_seq for view in views] == [2, 3, 4]
        assert await journal.get("r") == ended
        assert (await journal.events("r"))[1:] == views

    async def test_a_spec_that_could_not_be_read_back(self, journal: Journal, facts: Facts) -> None:
        for number in (float("nan"), float("inf")):
            spec = RunSpec(argv=("true",), cwd="/", params={"x": number})
            with pytest.raises(BadValue):
                await journal.create(facts.submitted("r", spec))
        with pytest.raises(BadValue):
            await journal.create(facts.submitted("r", RunSpec(argv=("\udcff",), cwd="/")))
        assert (await journal.list_runs(RunQuery())).runs == ()

    async def test_deleting_a_run_that_has_not_ended(self, journal: Journal, facts: Facts) -> None:
        await journal.create(facts.submitted("r"))
        with pytest.raises(RunNotEnded):
            await journal.delete("r")
        assert (await journal.get("r")).status is Status.QUEUED


async def test_a_message_that_is_not_unicode_does_not_stop_the_record(
    journal: Journal, facts: Facts
) -> None:
    """A file name that is no UTF-8 must not keep a run from ending; the name loses a character."""
    run = (await journal.create(facts.submitted("r"))).run
    message = "no such file: caf\udce9"
    [(run, entry)] = facts.life(
        run, Cancelled(message=message, outcome=NotStarted(message=message))
    )
    await journal.record(run, entry)
    assert (await journal.get("r")).message == "no such file: caf\N{REPLACEMENT CHARACTER}"


class TestDeleting:
    """A deleted run is gone with all that was its own, and its numbers with it."""

    async def test_nothing_of_it_is_left(self, journal: Journal, facts: Facts) -> None:
        spec = RunSpec(argv=("true",), cwd="/", job="j", tags=("t",))
        gone = (await journal.create(facts.submitted("gone", spec))).run
        kept = (await journal.create(facts.submitted("kept", spec))).run
        await facts.lived(journal, gone)
        await journal.delete("gone")
        for query in (RunQuery(), RunQuery(job="j"), RunQuery(tag="t"), RunQuery(text="true")):
            assert (await journal.list_runs(query)).runs == (kept,)
        assert [event.entry.run_id for event in await journal.events_since(0)] == ["kept"]

    async def test_no_number_is_used_again(self, path: Path, facts: Facts) -> None:
        """Not even those of the newest run, and not after a restart."""
        async with open_journal(path) as journal:
            run = (await journal.create(facts.submitted("r"))).run
            await facts.lived(journal, run)
            last = (await journal.events("r"))[-1].seq
            await journal.delete("r")
        async with open_journal(path) as journal:
            assert await journal.events_since(0) == []
            created = await journal.create(facts.submitted("r"))
        assert created.run.seq == run.seq + 1
        assert created.event.seq == last + 1


class TestFollowingEvents:
    """`events_since` misses nothing and repeats nothing."""

    async def test_steps_of_any_size_give_the_same_events(
        self, journal: Journal, facts: Facts
    ) -> None:
        for name in ("a", "b"):
            await facts.lived(journal, (await journal.create(facts.submitted(name))).run)
        everything = list(await journal.events_since(0))
        assert [event.seq for event in everything] == list(range(1, 9))
        for step in (1, 3, 8, 100):
            seen = list(await journal.events_since(0, step))
            while page := await journal.events_since(seen[-1].seq, step):
                assert len(page) <= step
                seen += page
            assert seen == everything

    @pytest.mark.parametrize("seq", [-1, 10**6, 2**63, 10**30])
    async def test_any_number_is_a_place_to_begin(
        self, journal: Journal, facts: Facts, seq: int
    ) -> None:
        await journal.create(facts.submitted("r"))
        assert len(await journal.events_since(seq)) == (1 if seq < 0 else 0)

    async def test_a_follower_beside_many_writers_sees_each_event_once(
        self, journal: Journal, facts: Facts
    ) -> None:
        """Events are seen in the order of their seq: none turns up behind the follower's back."""
        seen: list[int] = []
        finished = trio.Event()

        async def follow() -> None:
            while True:
                last = finished.is_set()
                page = await journal.events_since(seen[-1] if seen else 0)
                seen.extend(event.seq for event in page)
                if last and not page:
                    return

        async def live(name: str) -> None:
            await facts.lived(journal, (await journal.create(facts.submitted(name))).run)

        with trio.fail_after(120):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                async with trio.open_nursery() as writers:
                    for i in range(100):
                        writers.start_soon(live, f"r{i}")
                finished.set()
        assert seen == list(range(1, 401))


async def test_unfinished_runs_come_oldest_first(journal: Journal, facts: Facts) -> None:
    for name in ("ended", "running", "queued", "requeued"):
        await journal.create(facts.submitted(name))
    await facts.lived(journal, await journal.get("ended"))
    await facts.lived(journal, await journal.get("running"), Dispatched("local"), Started(None))
    requeued = await journal.get("requeued")
    await facts.lived(journal, requeued, Dispatched("local"), Requeued("never started"))
    unfinished = await journal.unfinished()
    assert [run.id for run in unfinished] == ["running", "queued", "requeued"]
    assert unfinished == [await journal.get(run.id) for run in unfinished]


async def test_counts_are_by_status_with_zeros(journal: Journal, facts: Facts) -> None:
    assert await journal.count_by_status() == dict.fromkeys(Status, 0)
    for name in ("a", "b", "c"):
        await journal.create(facts.submitted(name))
    await facts.lived(journal, await journal.get("a"))
    assert await journal.count_by_status() == dict.fromkeys(Status, 0) | {
        Status.QUEUED: 2,
        Status.SUCCEEDED: 1,
    }


async def test_the_last_run_of_each_job(journal: Journal, facts: Facts) -> None:
    newest = {}
    for number, job in enumerate(("b", "a", None, "b", "c", "a")):
        spec = RunSpec(argv=("true",), cwd="/", job=job)
        run = (await journal.create(facts.submitted(f"r{number}", spec))).run
        if job is not None:
            newest[job] = run
    assert await journal.last_runs() == newest


async def test_readiness_is_a_real_write(journal: Journal, path: Path) -> None:
    before = sizes(path.parent)["journal.db-wal"]
    await journal.check()
    assert sizes(path.parent)["journal.db-wal"] > before


async def test_two_openers_do_not_lose_each_others_writes(path: Path, facts: Facts) -> None:
    """The state directory's lock keeps servers apart; a second opener does no harm even so."""
    async with open_journal(path) as one, open_journal(path) as two:
        async with trio.open_nursery() as nursery:
            for i in range(50):
                nursery.start_soon(one.create, facts.submitted(f"one{i}"))
                nursery.start_soon(two.create, facts.submitted(f"two{i}"))
        for journal in (one, two):
            runs = (await journal.list_runs(RunQuery(limit=1000))).runs
            assert {run.id for run in runs} == {
                f"{n}{i}" for n in ("one", "two") for i in range(50)
            }
            assert {run.seq for run in runs} == set(range(1, 101))


def test_inline_it_works_under_a_virtual_clock(path: Path, facts: Facts) -> None:
    """Hours pass at once, and everything the journal does takes none of them."""

    async def main() -> None:
        async with open_journal(path, inline=True) as journal:
            with trio.fail_after(1):
                run = await facts.lived(
                    journal, (await journal.create(facts.submitted("r"), digest="d")).run
                )
                await journal.check()
                assert (await journal.list_runs(RunQuery())).runs == (run,)
                with pytest.raises(RunIdTaken):
                    await journal.create(facts.submitted("r"))
            await trio.sleep(3600)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_after_it_is_closed_it_refuses_to_write(path: Path, facts: Facts) -> None:
    async with open_journal(path) as journal:
        pass
    with pytest.raises(StorageUnavailable):
        await journal.create(facts.submitted("late"))


async def test_closing_leaves_one_file(path: Path, facts: Facts) -> None:
    """After an orderly end the journal can be copied as one file."""
    async with open_journal(path) as journal:
        await journal.create(facts.submitted("r"))
    assert modes(path.parent) == {"journal.db": 0o600}


async def test_a_run_ends_once(journal: Journal, facts: Facts) -> None:
    run = await facts.lived(journal, (await journal.create(facts.submitted("r"))).run)
    with pytest.raises(IllegalTransition):
        await journal.record(run, facts.entry("r", Succeeded(outcome=NotStarted(message=""))))
