"""What a server says of itself, unasked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from supervisor.attendance import keep_storage_watched
from supervisor.errors import StorageUnavailable
from supervisor.model import Status
from supervisor.testing import FakeExecutor, open_rig, submit, wait_for
from tests.fulldisk import Disk


async def test_its_log_says_when_storage_fails_and_when_it_works_again(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Once each, however long it takes."""
    caplog.set_level(logging.WARNING, "runwire")
    async with open_rig(tmp_path, FakeExecutor(), inline=True) as rig:
        disk = Disk(rig)
        run = await submit(rig.supervisor, "wait 10")
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_storage_watched, rig.supervisor)
            disk.full = True
            await trio.sleep(100)
            assert caplog.messages == [
                "the journal cannot be written: disk full; it is tried again until it works"
            ]
            assert rig.supervisor.summary() == (
                "1 running, 0 queued; the journal cannot be written: disk full"
            )
            disk.full = False
            await rig.supervisor.wait_ended(run.id)
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        assert caplog.messages[1:] == ["all that could not be stored is stored now"]
        assert rig.supervisor.summary() == "0 running, 0 queued"


async def test_a_server_that_is_told_to_stop_does_not_wait_for_storage_for_ever(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Its runs are stopped; what cannot be recorded of that is named."""
    executor = FakeExecutor()
    async with open_rig(tmp_path, executor, inline=True) as rig:
        disk = Disk(rig)
        run = await submit(rig.supervisor, "ignore TERM", "wait 1000")
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        disk.full = True
        begun = trio.current_time()
        with pytest.raises(StorageUnavailable, match=f"cannot be recorded: {run.id} "):
            await rig.supervisor.stop_all()
        assert executor.processes() == 0
        assert 10 <= trio.current_time() - begun <= 100
        disk.full = False


async def test_storage_that_works_again_in_time_has_all_recorded(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, FakeExecutor(), inline=True) as rig:
        disk = Disk(rig)
        run = await submit(rig.supervisor, "wait 1000")
        await wait_for(rig.supervisor, run.id, Status.RUNNING)
        disk.full = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.supervisor.stop_all)
            await trio.sleep(5)
            disk.full = False
        assert (await rig.supervisor.get(run.id)).status.ended
