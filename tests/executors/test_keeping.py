"""A run's descriptors are kept before anything is on record, and before it begins."""

from __future__ import annotations

import array
import os
import socket
from pathlib import Path

import pytest
import trio

from supervisor.executors.local import LocalExecutor
from supervisor.fdstore import FdStore
from supervisor.model import StopRequest, Tracking
from supervisor.outcome import NotStarted, Outcome, StopCause
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.spec import RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console


async def test_a_stop_that_comes_meanwhile_has_it_wait_again(tmp_path: Path) -> None:
    """Nothing of its start is on record then."""
    launcher = Launcher()
    tracker, why = open_tracker(None, "keeping", own=launcher.pids)
    told = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    await told.bind(str(tmp_path / "notify"))
    store = FdStore(str(tmp_path / "notify"), 10)
    executor = LocalExecutor(launcher, instance="keeping", drain_s=1, tracker=tracker, store=store)
    run = a_run(RunSpec(argv=("touch", str(tmp_path / "ran")), cwd="/"))
    outcomes: list[Outcome] = []
    try:
        if tracker.best is not Tracking.CGROUP:
            pytest.skip(why)
        with trio.fail_after(20), open_console(tmp_path, run) as rig:
            async with trio.open_nursery() as nursery:

                async def execute() -> None:
                    outcomes.append(await executor.execute(run, rig.console))

                nursery.start_soon(execute)
                message = b""
                while message != b"BARRIER=1":
                    message, ancillary, _flags, _from = await told.recvmsg(4096, 64)
                    assert rig.recorder.events == []
                    if message == b"BARRIER=1":
                        stop = StopRequest(StopCause.SHUTDOWN, StopPolicy(), TESTER)
                        rig.console.stop.ask(stop)
                    for _level, _type, data in ancillary:
                        os.close(array.array("i", data)[0])
            assert rig.recorder.events == []
        assert outcomes == [
            NotStarted(message="stopped before it started", stopped=StopCause.SHUTDOWN)
        ]
        assert not (tmp_path / "ran").exists()
    finally:
        launcher.close()
        tracker.close()
        store.close()
        told.close()
