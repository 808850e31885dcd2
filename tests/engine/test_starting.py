"""Runs start when it is their turn, and once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor.errors import RunIdTaken
from supervisor.log import logindex
from supervisor.model import (
    Reason,
    Status,
)
from supervisor.spec import Job
from supervisor.testing import (
    PROGRAM,
    TESTER,
    FakeExecutor,
    open_rig,
    submit,
)
from supervisor.wire import SubmitRequest

START = 0.0
"""An autojump clock begins at zero."""


# --- who starts when ------------------------------------------------------------------------------


async def test_runs_start_in_the_order_they_came(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=1, inline=True) as rig:
        runs = [await submit(rig.supervisor, "wait 10") for _ in range(5)]
        for run in runs:
            assert (await rig.supervisor.wait_ended(run.id)).status is Status.SUCCEEDED
    assert executor.began == [run.id for run in runs]
    assert 50 <= trio.current_time() - START < 51


async def test_a_higher_priority_starts_first(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=1, inline=True) as rig:
        first = await submit(rig.supervisor, "wait 10")
        low = await submit(rig.supervisor, "wait 10", priority=-1)
        normal = await submit(rig.supervisor, "wait 10")
        high = await submit(rig.supervisor, "wait 10", priority=5)
        await rig.supervisor.wait_ended(low.id)
    assert executor.began == [first.id, high.id, normal.id, low.id]


async def test_no_more_run_at_once_than_allowed(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=3, inline=True) as rig:
        runs = [await submit(rig.supervisor, "wait 10") for _ in range(7)]
        await wait_all_tasks_blocked()
        assert rig.supervisor.counts() == (4, 3)
        for number, run in enumerate(runs):
            await rig.supervisor.wait_ended(run.id)
            assert trio.current_time() - START == pytest.approx(10 * (number // 3 + 1), abs=0.5)


async def test_a_run_that_waits_too_long_fails_without_starting(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """One whose turn comes in time is not concerned any more."""
    jobs = {
        "patient": Job(
            name="patient", command=(PROGRAM, "wait 20"), cwd="/", queue_timeout_s=30, priority=1
        ),
        "hasty": Job(name="hasty", command=(PROGRAM, "exit 0"), cwd="/", queue_timeout_s=15),
    }
    async with open_rig(tmp_path, executor, jobs=jobs, max_running=1, inline=True) as rig:
        await submit(rig.supervisor, "wait 10")
        patient, _ = await rig.supervisor.submit(SubmitRequest(job="patient"), TESTER)
        hasty, _ = await rig.supervisor.submit(SubmitRequest(job="hasty"), TESTER)
        run = await rig.supervisor.wait_ended(hasty.id)
        assert (run.status, run.reason) == (Status.FAILED, Reason.QUEUE_TIMEOUT)
        assert (run.started_at, run.dispatched_at, run.exit_code) == (None, None, None)
        assert (await rig.supervisor.get(patient.id)).status is Status.RUNNING
        assert (await rig.supervisor.wait_ended(patient.id)).status is Status.SUCCEEDED
        assert rig.supervisor.counts() == (0, 0)


async def test_a_job_bounds_its_own_runs_and_lets_others_pass(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    single = Job(name="single", command=(PROGRAM, "wait 10"), cwd="/", concurrency=1)
    async with open_rig(
        tmp_path, executor, jobs={"single": single}, max_running=4, inline=True
    ) as rig:
        first, second = [
            (await rig.supervisor.submit(SubmitRequest(job="single"), TESTER))[0] for _ in range(2)
        ]
        other = await submit(rig.supervisor, "wait 5")
        await wait_all_tasks_blocked()
        assert sorted(executor.began) == sorted([first.id, other.id])
        assert rig.supervisor.counts() == (1, 2)
        await rig.supervisor.wait_ended(second.id)
    assert executor.began[2:] == [second.id]


async def test_a_run_that_cannot_start_makes_room_for_the_next(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=1, inline=True) as rig:
        refused = await submit(rig.supervisor, "refuse there is no such program")
        crashed = await submit(rig.supervisor, "crash a mistake of ours")
        fine = await submit(rig.supervisor, "exit 0")
        assert (await rig.supervisor.wait_ended(fine.id)).status is Status.SUCCEEDED
        run = await rig.supervisor.get(refused.id)
        assert (run.status, run.reason) == (Status.FAILED, Reason.START_FAILED)
        assert run.message == "there is no such program"
        run = await rig.supervisor.get(crashed.id)
        assert (run.status, run.reason) == (Status.FAILED, Reason.INTERNAL)
        assert "a mistake of ours" in run.message


async def test_a_bug_in_an_executor_harms_no_neighbour(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, inline=True) as rig:
        neighbour = await submit(rig.supervisor, "wait 10", "exit 3")
        broken = await submit(rig.supervisor, "wait 1", "no-such-step")
        run = await rig.supervisor.wait_ended(broken.id)
        assert (run.status, run.reason) == (Status.FAILED, Reason.INTERNAL)
        assert "ValueError" in run.message
        assert (await rig.supervisor.get(neighbour.id)).status is Status.RUNNING
        assert (await rig.supervisor.wait_ended(neighbour.id)).exit_code == 3
        assert rig.supervisor.counts() == (0, 0)


async def test_a_log_that_cannot_be_made_fails_that_run_alone(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, inline=True) as rig:
        newer = logindex.MAGIC + b"\x00\x02".ljust(56, b"\0")
        (rig.state.logs / "odd.idx").write_bytes(newer)
        await submit(rig.supervisor, "exit 0", id="odd")
        run = await rig.supervisor.wait_ended("odd")
        assert (run.status, run.reason) == (Status.FAILED, Reason.INTERNAL)
        assert "which this version of Runwire cannot read" in run.message
        fine = await submit(rig.supervisor, "exit 0")
        assert (await rig.supervisor.wait_ended(fine.id)).status is Status.SUCCEEDED


# --- idempotent submits ---------------------------------------------------------------------------


async def test_the_same_request_under_the_same_id_makes_one_run(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """At the same time, later, after its end, and after a restart."""
    request = SubmitRequest(id="mine", command=(PROGRAM, "wait 1"))
    made: list[bool] = []
    async with open_rig(tmp_path, executor, inline=True) as rig:

        async def once() -> None:
            run, new = await rig.supervisor.submit(request, TESTER)
            assert run.id == "mine"
            made.append(new)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(once)
        await rig.supervisor.wait_ended("mine")
        await once()
        other = msgspec.structs.replace(request, command=(PROGRAM, "wait 2"))
        with pytest.raises(RunIdTaken):
            await rig.supervisor.submit(other, TESTER)
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run, new = await rig.supervisor.submit(request, TESTER)
        assert (run.status, new) == (Status.SUCCEEDED, False)
    assert made.count(True) == 1
    assert executor.began == ["mine"]


async def test_a_caller_that_gives_up_leaves_its_run_in_order(
    tmp_path: Path, executor: FakeExecutor
) -> None:
    """Cancelled while the journal commits, the submit has happened or has not, never half."""
    async with open_rig(tmp_path, executor) as rig:
        scopes = [trio.CancelScope() for _ in range(20)]

        async def impatient(number: int) -> None:
            with scopes[number]:
                await submit(rig.supervisor, "exit 0", id=f"run-{number}")

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(impatient, number)
            for number, scope in enumerate(scopes):
                if number % 3:
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        with trio.fail_after(60):
            for run in await rig.journal.unfinished():
                await rig.supervisor.wait_ended(run.id)
        assert await rig.journal.unfinished() == []
        assert rig.supervisor.counts() == (0, 0)
    assert len(set(executor.began)) == len(executor.began)
