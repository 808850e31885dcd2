"""Runs are cancelled, and stopped when the server shuts down."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor.errors import ShuttingDown
from supervisor.model import (
    SYSTEM,
    Reason,
    Run,
    Status,
)
from supervisor.outcome import Outcome, StopCause
from supervisor.spec import Job, StopPolicy
from supervisor.testing import (
    PROGRAM,
    TESTER,
    FakeExecutor,
    open_rig,
    submit,
    wait_for,
)
from supervisor.wire import CancelRequest, SubmitRequest
from tests.engine.recorded import kinds

START = 0.0
"""An autojump clock begins at zero."""


# --- cancelling -----------------------------------------------------------------------------------


async def test_a_queued_run_is_cancelled_at_once(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=1, inline=True) as rig:
        first = await submit(rig.supervisor, "wait 10")
        queued = await submit(rig.supervisor, "exit 0")
        last = await submit(rig.supervisor, "exit 0")
        run = await rig.supervisor.cancel(queued.id, CancelRequest(), TESTER)
        assert run.status is Status.CANCELLED
        assert run.started_at is None
        assert await kinds(rig, queued.id) == ["Submitted", "Cancelled"]
        assert (await rig.supervisor.wait_ended(last.id)).status is Status.SUCCEEDED
    assert executor.began == [first.id, last.id]


async def test_a_run_being_dispatched_is_cancelled_and_does_not_start(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run = await submit(rig.supervisor, "exit 0")
        await rig.supervisor.cancel(run.id, CancelRequest(), TESTER)
        ended = await rig.supervisor.wait_ended(run.id)
        assert ended.status is Status.CANCELLED
        assert ended.stop is not None
        assert ended.stop.requested_by == TESTER
    assert executor.began == []


async def test_a_running_run_is_cancelled_with_a_receipt(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run = await submit(rig.supervisor, "ignore TERM", "wait 100", "exit 0")
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        await wait_all_tasks_blocked()
        asked = await rig.supervisor.cancel(run.id, CancelRequest(grace=20), TESTER)
        assert asked.status is Status.RUNNING
        assert asked.cancel_requested_at is not None
        ended = await rig.supervisor.wait_ended(run.id)
        assert 20 <= trio.current_time() - START < 21
        assert (ended.status, ended.signal) == (Status.CANCELLED, "KILL")
        assert ended.stop is not None
        assert [step.signal for step in ended.stop.steps] == ["TERM", "KILL"]
        assert ended.stop.escalated


async def test_a_second_cancel_changes_nothing_and_force_cuts_the_grace_short(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run = await submit(rig.supervisor, "ignore TERM", "wait 1000")
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        await wait_all_tasks_blocked()
        await rig.supervisor.cancel(run.id, CancelRequest(grace=500), TESTER)
        await trio.sleep(5)
        again = await rig.supervisor.cancel(run.id, CancelRequest(grace=1), TESTER)
        assert again.status is Status.RUNNING
        await trio.sleep(50)
        assert (await rig.supervisor.get(run.id)).status is Status.RUNNING
        await rig.supervisor.cancel(run.id, CancelRequest(force=True), TESTER)
        await rig.supervisor.cancel(run.id, CancelRequest(force=True), TESTER)
        ended = await rig.supervisor.wait_ended(run.id)
        assert (ended.status, ended.signal) == (Status.CANCELLED, "KILL")
        assert (await kinds(rig, run.id)).count("StopRequested") == 2
        late = await rig.supervisor.cancel(run.id, CancelRequest(), TESTER)
        assert late == ended
    assert trio.current_time() - START < 60


async def test_a_cancel_while_draining_ends_the_wait_but_not_the_story(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """The program had ended by itself, so that is how the run ended."""
    async with open_rig(tmp_path, FakeExecutor(drain_s=1000), inline=True) as rig:
        run = await submit(rig.supervisor, "leave 500", "exit 4")
        draining = await wait_for(rig.supervisor, run.id, lambda run: run.exited_at is not None)
        assert (draining.status, draining.exit_code) == (Status.RUNNING, 4)
        await rig.supervisor.cancel(run.id, CancelRequest(), TESTER)
        ended = await rig.supervisor.wait_ended(run.id)
        assert (ended.status, ended.reason, ended.exit_code) == (
            Status.FAILED,
            Reason.EXIT_CODE,
            4,
        )
        assert len(ended.killed) == 1
    assert trio.current_time() - START < 5


async def test_a_caller_that_gives_up_a_cancel_does_not_keep_the_run(
    tmp_path: Path, executor: FakeExecutor
) -> None:
    """A client that hangs up while its cancel is committed: the run ends all the same."""
    async with open_rig(tmp_path, executor, max_running=1) as rig:
        first = await submit(rig.supervisor, "wait 60")
        queued = await submit(rig.supervisor, "exit 0")
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(rig.supervisor.cancel, queued.id, CancelRequest(), TESTER)
                while rig.supervisor.counts() != (0, 1):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            ended = await rig.supervisor.wait_ended(queued.id)
            assert ended.status is Status.CANCELLED
            await rig.supervisor.delete(queued.id, TESTER)
            await rig.supervisor.cancel(first.id, CancelRequest(force=True), TESTER)
            await rig.supervisor.wait_ended(first.id)


# --- shutting down --------------------------------------------------------------------------------


async def test_a_shutdown_stops_what_runs_and_keeps_what_waits(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=2, inline=True) as rig:
        running = [await submit(rig.supervisor, "wait 1000") for _ in range(2)]
        for run in running:
            await wait_for(rig.supervisor, run.id, Status.RUNNING)
        waiting = [await submit(rig.supervisor, "exit 0") for _ in range(3)]
        await rig.supervisor.stop_all()
        for run in running:
            ended = await rig.supervisor.get(run.id)
            assert ended.status is Status.CANCELLED
            assert ended.stop is not None
            assert ended.stop.cause is StopCause.SHUTDOWN
        with pytest.raises(ShuttingDown):
            await submit(rig.supervisor, "exit 0")
        for run in waiting:
            assert (await rig.supervisor.get(run.id)).status is Status.QUEUED
        cancelled = await rig.supervisor.cancel(waiting[0].id, CancelRequest(), TESTER)
        assert cancelled.status is Status.CANCELLED
    async with open_rig(tmp_path, executor, inline=True) as rig:
        for run in waiting[1:]:
            assert (await rig.supervisor.wait_ended(run.id)).status is Status.SUCCEEDED
    assert sorted(executor.began) == sorted(run.id for run in (*running, *waiting[1:]))


async def test_a_shutdown_can_be_hurried(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    policy = StopPolicy(grace_s=500)
    stubborn = Job(
        name="stubborn", command=(PROGRAM, "ignore TERM", "wait 1000"), cwd="/", stop=policy
    )
    async with open_rig(tmp_path, executor, jobs={"stubborn": stubborn}, inline=True) as rig:
        run, _new = await rig.supervisor.submit(SubmitRequest(job="stubborn"), TESTER)
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.supervisor.stop_all)
            await trio.sleep(10)
            await rig.supervisor.stop_all(force=True)
        assert (await rig.supervisor.get(run.id)).signal == "KILL"
    assert trio.current_time() - START < 15


async def test_a_shutdown_does_not_change_a_stop_that_goes_on(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """Its cause, its grace and who asked stay; and so it is the other way round."""
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run = await submit(rig.supervisor, "ignore TERM", "wait 1000")
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        await wait_all_tasks_blocked()
        await rig.supervisor.cancel(run.id, CancelRequest(grace=100), TESTER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.supervisor.stop_all)
            await trio.sleep(50)
            later = CancelRequest(signal="INT", grace=1)
            assert (await rig.supervisor.cancel(run.id, later, SYSTEM)).status is Status.RUNNING
        ended = await rig.supervisor.get(run.id)
        assert ended.stop is not None
        assert (ended.stop.cause, ended.stop.requested_by) == (StopCause.CANCEL, TESTER)
        assert [step.signal for step in ended.stop.steps] == ["TERM", "KILL"]
    assert 100 <= trio.current_time() - START < 105


class Slow(FakeExecutor):
    """Takes its time before it starts anything."""

    async def execute(self, run: Run, console: object) -> Outcome:
        await console.stop.wait_asked()  # type: ignore[attr-defined]
        return await super().execute(run, console)  # type: ignore[arg-type]


async def test_who_was_dispatched_but_not_started_waits_again_after_a_shutdown(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    slow = Slow()
    async with open_rig(tmp_path, slow, inline=True) as rig:
        run = await submit(rig.supervisor, "exit 0")
        await wait_for(rig.supervisor, run.id, lambda run: run.dispatched_at is not None)
        await rig.supervisor.stop_all()
        waits = await rig.supervisor.get(run.id)
        assert (waits.status, waits.dispatched_at, waits.stop) == (Status.QUEUED, None, None)
    assert slow.began == []
    executor = FakeExecutor()
    async with open_rig(tmp_path, executor, inline=True) as rig:
        assert (await rig.supervisor.wait_ended(run.id)).status is Status.SUCCEEDED
    assert executor.began == [run.id]


async def test_who_is_cancelled_while_a_shutdown_sends_it_back_does_not_wait_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    class Slower(Slow):
        async def execute(self, run: Run, console: object) -> Outcome:
            await console.stop.wait_asked()  # type: ignore[attr-defined]
            await trio.sleep(5)
            return await super().execute(run, console)

    async with open_rig(tmp_path, Slower(), inline=True) as rig:
        run = await submit(rig.supervisor, "exit 0")
        await wait_for(rig.supervisor, run.id, lambda run: run.dispatched_at is not None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.supervisor.stop_all)
            await trio.sleep(1)
            await rig.supervisor.cancel(run.id, CancelRequest(), TESTER)
        ended = await rig.supervisor.get(run.id)
        assert (ended.status, ended.started_at) == (Status.CANCELLED, None)
        assert ended.stop is not None
        assert (ended.stop.cause, ended.stop.requested_by) == (StopCause.CANCEL, TESTER)
