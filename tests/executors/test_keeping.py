"""A run's descriptors are kept before anything is on record, and before it begins."""

from __future__ import annotations

import array
import os
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.executors.environment import marks
from supervisor.executors.local import LocalExecutor
from supervisor.fdstore import FdStore
from supervisor.model import StopRequest, Tracking
from supervisor.outcome import Lost, NotStarted, Outcome, StopCause
from supervisor.processes import procfs
from supervisor.processes.launcher import PROCESS, Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.spec import OutputMode, RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console

INSTANCE = f"keeping-{os.getpid()}"


async def test_a_stop_that_comes_meanwhile_has_it_wait_again(tmp_path: Path) -> None:
    """Nothing of its start is on record then."""
    launcher = Launcher()
    tracker, why = open_tracker(None, INSTANCE, own=launcher.pids)
    told = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    await told.bind(str(tmp_path / "notify"))
    store = FdStore(str(tmp_path / "notify"), 10)
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=1, tracker=tracker, store=store)
    run = a_run(RunSpec(argv=("touch", str(tmp_path / "ran")), cwd="/"))
    outcomes: list[Outcome] = []
    try:
        if tracker.best is not Tracking.CGROUP:
            pytest.skip(why)
        with trio.fail_after(60), open_console(tmp_path, run) as rig:
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


async def test_a_run_whose_terminal_cannot_be_taken_over_is_ended_and_lost(tmp_path: Path) -> None:
    """What was kept for it is let go of."""
    run = a_run(RunSpec(argv=("sleep", "600"), cwd="/", output=OutputMode.PTY))
    env = {**os.environ, **{name.decode(): it.decode() for name, it in marks(run.id, "k").items()}}
    orphan = ["setsid", "sh", "-c", "sleep 60 > /dev/null & echo $!"]
    pid = int(subprocess.run(orphan, env=env, stdout=subprocess.PIPE, check=True).stdout)
    ref = procfs.identify(pid)
    pidfd, no_terminal = os.pidfd_open(pid), os.open(os.devnull, os.O_RDWR)
    store = FdStore(
        None, 0, {f"run-{run.id}.{PROCESS}": pidfd, f"run-{run.id}.terminal": no_terminal}
    )
    launcher = Launcher()
    executor = LocalExecutor(launcher, instance="k", drain_s=1, store=store)
    try:
        with trio.fail_after(60), open_console(tmp_path, run) as rig:
            outcome = await executor.reattach(
                msgspec.structs.replace(run, process=ref), rig.console
            )
    finally:
        launcher.close()
    assert isinstance(outcome, Lost)
    assert outcome.killed == (pid,)
    for fd in (pidfd, no_terminal):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
