"""Storage that fails costs no run; and one that has ended keeps nothing of the server."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor.errors import StorageUnavailable
from supervisor.model import (
    Status,
)
from supervisor.testing import (
    TESTER,
    FakeExecutor,
    open_rig,
    submit,
    wait_for,
)
from supervisor.wire import CancelRequest
from tests.descriptors import none_is_left
from tests.engine.recorded import kinds
from tests.fulldisk import Disk

# --- storage that fails ---------------------------------------------------------------------------


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


# --- what a run leaves behind ---------------------------------------------------------------------


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
