"""What asks for a run's end goes on where an earlier server left it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from supervisor import clock
from supervisor.executors.pausing import Pausing
from supervisor.executors.watchdogs import start_watchdogs
from supervisor.log import ondisk
from supervisor.log.logwriter import LogWriter
from supervisor.model import Run, Stream
from supervisor.outcome import StopCause
from supervisor.processes.launcher import GatedProcess
from supervisor.spec import RunSpec
from supervisor.testing import a_run, open_console

LIMIT_S, HOUR_S = 600.0, 3600.0


def never_paused() -> GatedProcess:
    """The run's process, of which nobody asks more than that."""
    child = GatedProcess.__new__(GatedProcess)
    child.paused = None
    return child


def silent_for(directory: Path, run: Run, silent_s: float) -> None:
    """The log that an earlier server has written, last so long ago."""
    log = LogWriter.create(directory, run.id)
    log.append(b"output", Stream.STDOUT)
    log.close()
    wrote_at = clock.now().wall.timestamp() - silent_s
    os.utime(directory / f"{run.id}.log", (wrote_at, wrote_at))


async def test_a_run_that_is_held_back_for_the_disk_is_not_silent(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ondisk, "_FIRST_ALLOWANCE", 0)
    run = a_run(RunSpec(argv=("x",), cwd="/", no_output_timeout_s=LIMIT_S))
    with open_console(tmp_path, run) as rig:
        rig.log.append(b"more than the disk has taken", Stream.STDOUT)
        async with trio.open_nursery() as nursery:
            start_watchdogs(nursery, rig.console, Pausing(never_paused()), run, ())
            await trio.sleep(10 * LIMIT_S)
            assert rig.stop.request is None
            rig.log.sync()
            request = await rig.stop.wait_asked()
        assert request.cause is StopCause.NO_OUTPUT_TIMEOUT


@pytest.mark.parametrize(("paused", "left_s"), [("never", 100), ("before", 600), ("still", 600)])
async def test_the_silence_of_a_pause_does_not_count_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock, paused: str, left_s: float
) -> None:
    """Of a run that was silent for 500 s of its 600, or paused for the last hour."""
    spec = RunSpec(argv=("x",), cwd="/", no_output_timeout_s=LIMIT_S)
    run = a_run(spec)
    began_ns = clock.now().mono_ns - round(HOUR_S * 1e9)
    if paused == "before":
        run = msgspec.structs.replace(run, paused_s=HOUR_S)
    if paused == "still":
        run = msgspec.structs.replace(run, paused_at=clock.now().wall, paused_mono_ns=began_ns)
    silent_for(tmp_path, run, 500 if paused == "never" else HOUR_S)
    with open_console(tmp_path, run) as rig:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            start_watchdogs(nursery, rig.console, Pausing(never_paused()), run, ())
            request = await rig.stop.wait_asked()
        assert request.cause is StopCause.NO_OUTPUT_TIMEOUT
        assert trio.current_time() - began == pytest.approx(left_s, abs=60)
