"""The lives of runs through the whole engine: they wait, start, are stopped, end, and come back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import clock, lifecycle
from supervisor.errors import RunIdTaken, ShuttingDown, StorageUnavailable
from supervisor.executors import Trace
from supervisor.journal import Journal, open_journal
from supervisor.log import logindex
from supervisor.model import (
    SYSTEM,
    Dispatched,
    Entry,
    Event,
    ProcessRef,
    Reason,
    Requeued,
    Run,
    Started,
    Status,
    StopRequest,
    StopRequested,
    Submitted,
)
from supervisor.outcome import Outcome, StopCause
from supervisor.spec import Job, RunSpec, StopPolicy
from supervisor.statedir import open_state_dir
from supervisor.testing import (
    PROGRAM,
    TESTER,
    FakeExecutor,
    Rig,
    open_rig,
    program,
    submit,
    wait_for,
)
from supervisor.wire import CancelRequest, SubmitRequest
from tests.descriptors import none_is_left
from tests.fulldisk import Disk


@pytest.fixture(params=[True, False], ids=["intent-first", "intent-with-start"])
def executor(request: pytest.FixtureRequest) -> FakeExecutor:
    """Both ways to record that a run was given to its executor."""
    return FakeExecutor(intent_first=request.param)


async def kinds(rig: Rig, run_id: str) -> list[str]:
    """The types of the run's events, as recorded."""
    return [type(view.entry.event).__name__ for view in await rig.supervisor.events(run_id)]


# --- who starts when -----------------------------------------------------------------------------


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


# --- idempotent submits --------------------------------------------------------------------------


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


# --- cancelling ----------------------------------------------------------------------------------


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


# --- shutting down -------------------------------------------------------------------------------


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


# --- taking up what an earlier server left ---------------------------------------------------------


REF = ProcessRef(pid=2**22 + 7, start_ticks=1, boot_id=clock.boot_id())
CANCEL = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER)


async def leave_behind(directory: Path, spec: RunSpec, events: Sequence[Event]) -> Run:
    """A state directory whose journal ends with these events of one run."""
    with open_state_dir(directory) as state:
        async with open_journal(state.journal, inline=True) as journal:
            entry = Entry("left", clock.now(), TESTER, Submitted(spec))
            run = (await journal.create(entry)).run
            for event in events:
                run = await record(journal, run, event)
    return run


async def record(journal: Journal, run: Run, event: Event) -> Run:
    entry = Entry(run.id, clock.now(), SYSTEM, event)
    run = lifecycle.advance(run, entry)
    await journal.record(run, entry)
    return run


LOST = (Status.FAILED, Reason.LOST)


@pytest.mark.parametrize(
    ("events", "end", "times"),
    [
        pytest.param([], (Status.SUCCEEDED, None), 1, id="queued"),
        pytest.param([Dispatched("fake")], (Status.SUCCEEDED, None), 1, id="dispatched"),
        pytest.param(
            [Dispatched("fake"), Requeued("x")], (Status.SUCCEEDED, None), 1, id="requeued"
        ),
        pytest.param(
            [Dispatched("fake"), StopRequested(CANCEL)],
            (Status.CANCELLED, None),
            0,
            id="dispatched-and-cancelled",
        ),
        pytest.param([Dispatched("fake"), Started(REF)], LOST, 0, id="running"),
        pytest.param(
            [Dispatched("fake"), Started(REF), StopRequested(CANCEL)],
            LOST,
            0,
            id="being-cancelled",
        ),
    ],
)
async def test_a_restart_takes_every_run_up_where_it_was(
    tmp_path: Path,
    autojump_clock: MockClock,
    events: Sequence[Event],
    end: tuple[Status, Reason | None],
    times: int,
) -> None:
    """Nothing that may have run is run again, and nothing that waited is forgotten."""
    executor = FakeExecutor()
    await leave_behind(tmp_path, program("wait 1", "exit 0"), events)
    for _ in range(2):  # another restart changes nothing any more
        async with open_rig(tmp_path, executor, inline=True) as rig:
            run = await rig.supervisor.wait_ended("left")
            assert (run.status, run.reason) == end
    assert executor.began == ["left"] * times


async def test_what_outlived_the_server_is_gone_on_with(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    spec = program("crash it must not begin anew", "outlive", "write stdout on", "exit 6")
    await leave_behind(tmp_path, spec, [Dispatched("fake"), Started(REF)])
    (tmp_path / "logs" / "left.log").write_bytes(b"before,")
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run = await rig.supervisor.wait_ended("left")
        assert (run.status, run.exit_code) == (Status.FAILED, 6)
        assert rig.output("left") == b"before,on"


async def test_what_started_unseen_is_not_started_again(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """The server fell between the start and its commit, and its executor can find out."""
    executor.found["left"] = Trace.STARTED
    await leave_behind(tmp_path, program("outlive", "exit 5"), [Dispatched("fake")])
    async with open_rig(tmp_path, executor, inline=True) as rig:
        assert (await rig.supervisor.wait_ended("left")).exit_code == 5
        assert await kinds(rig, "left") == ["Submitted", "Dispatched", "Started", "Failed"]


async def test_a_cancel_is_remembered_over_a_restart(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """What outlived the server goes on being stopped."""
    spec = program("outlive", "wait 1000")
    events: list[Event] = [Dispatched("fake"), Started(REF), StopRequested(CANCEL)]
    await leave_behind(tmp_path, spec, events)
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run = await rig.supervisor.wait_ended("left")
        assert (run.status, run.signal) == (Status.CANCELLED, "TERM")
    assert trio.current_time() - START < 10


async def test_recovered_runs_hold_their_slots_and_their_order(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    with trio.CancelScope() as fall:
        async with open_rig(tmp_path, executor, max_running=2, inline=True) as rig:
            runs = [await submit(rig.supervisor, "outlive", "wait 10") for _ in range(6)]
            await wait_for(rig.supervisor, runs[1].id, Status.RUNNING)
            fall.cancel()
            await trio.sleep_forever()
    assert sorted(executor.began) == sorted(run.id for run in runs[:2])
    async with open_rig(tmp_path, executor, max_running=2, inline=True) as rig:
        await wait_all_tasks_blocked()
        assert rig.supervisor.counts() == (4, 2)
        for run in runs:
            await rig.supervisor.wait_ended(run.id)
    for start in range(0, 6, 2):  # two at a time, in whatever order these two begin
        began = executor.began[2 + start : 4 + start]
        assert sorted(began) == sorted(run.id for run in runs[start : start + 2])


# --- storage that fails ----------------------------------------------------------------------------


async def test_a_full_disk_refuses_new_runs_and_keeps_the_events_of_others(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """What happened meanwhile is recorded once it can be, all of it, in its order."""
    async with open_rig(tmp_path, executor, inline=True) as rig:
        disk = Disk(rig)
        run = await submit(rig.supervisor, "ignore TERM", "wait 1000")
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        await wait_all_tasks_blocked()
        disk.full = True
        with pytest.raises(StorageUnavailable):
            await submit(rig.supervisor, "exit 0")
        with pytest.raises(StorageUnavailable, match="being done"):
            await rig.supervisor.cancel(run.id, CancelRequest(grace=10), TESTER)
        await trio.sleep(30)
        assert (await rig.supervisor.get(run.id)).status is Status.RUNNING
        assert (await rig.supervisor.get(run.id)).cancel_requested_at is None
        assert executor.processes() == 0  # it was stopped even so
        assert any("disk full" in line for line in await rig.supervisor.check_ready())
        with pytest.raises(StorageUnavailable):
            await rig.supervisor.cancel(run.id, CancelRequest(), TESTER)
        disk.full = False
        ended = await rig.supervisor.wait_ended(run.id)
        assert (ended.status, ended.signal) == (Status.CANCELLED, "KILL")
        assert await kinds(rig, run.id) == [
            "Submitted",
            "Dispatched",
            "Started",
            "StopRequested",
            "Signalled",
            "Signalled",
            "Cancelled",
        ]
        assert disk.refused > 5
        assert await rig.supervisor.check_ready() == []
        fine = await submit(rig.supervisor, "exit 0")
        assert (await rig.supervisor.wait_ended(fine.id)).status is Status.SUCCEEDED


async def test_nothing_starts_while_its_start_cannot_be_recorded(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=1, inline=True) as rig:
        disk = Disk(rig)
        first = await submit(rig.supervisor, "wait 10")
        waiting = await submit(rig.supervisor, "exit 0")
        await wait_for(rig.supervisor, first.id, Status.RUNNING)
        disk.full = True
        await trio.sleep(100)
        assert executor.began == [first.id]
        disk.full = False
        assert (await rig.supervisor.wait_ended(waiting.id)).status is Status.SUCCEEDED
    assert executor.began == [first.id, waiting.id]


async def test_a_queued_run_is_cancelled_even_if_that_cannot_be_recorded_yet(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, max_running=1, inline=True) as rig:
        disk = Disk(rig)
        first = await submit(rig.supervisor, "wait 10")
        queued = await submit(rig.supervisor, "exit 0")
        disk.full = True
        with pytest.raises(StorageUnavailable):
            await rig.supervisor.cancel(queued.id, CancelRequest(), TESTER)
        disk.full = False
        await trio.sleep(5)
        ended = await rig.supervisor.cancel(queued.id, CancelRequest(), TESTER)
        assert ended.status is Status.CANCELLED
        await rig.supervisor.wait_ended(first.id)
    assert executor.began == [first.id]


# --- what a run leaves behind ------------------------------------------------------------------------


async def test_a_run_that_has_ended_lets_everything_go(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """No task, no descriptor, no entry in memory."""
    async with open_rig(tmp_path, executor, inline=True) as rig:
        tasks = trio.lowlevel.current_statistics().tasks_living
        with none_is_left():
            for number in range(20):
                await submit(rig.supervisor, "write stdout x", f"exit {number % 3}")
            while rig.supervisor.counts() != (0, 0):
                await rig.supervisor.changed.wait()
            await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert rig.supervisor._engine.live == {}
        assert rig.supervisor._engine.open_logs._open == {}


START = 0.0
"""An autojump clock begins at zero."""
