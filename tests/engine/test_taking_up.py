"""What an earlier server left is taken up where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import clock, lifecycle
from supervisor.executors import Trace
from supervisor.journal import Journal, open_journal
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
from supervisor.outcome import StopCause
from supervisor.spec import RunSpec, StopPolicy
from supervisor.statedir import open_state_dir
from supervisor.testing import (
    TESTER,
    FakeExecutor,
    open_rig,
    program,
    submit,
    wait_for,
)
from tests.engine.recorded import kinds

START = 0.0
"""An autojump clock begins at zero."""


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
