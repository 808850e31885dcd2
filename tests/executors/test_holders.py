"""What holds a run's output after its program's end: named, waited for, then killed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.executors.local import LocalExecutor
from supervisor.model import ProgramExited
from supervisor.outcome import Exited, NamedProcess, Outcome
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.spec import OutputMode, RunSpec
from supervisor.testing import a_run, open_console

INSTANCE = f"holders-{os.getpid()}"


@pytest.fixture
async def executor() -> AsyncIterator[LocalExecutor]:
    launcher = Launcher()
    tracker, _why = open_tracker(None, INSTANCE, own=launcher.pids)
    yield LocalExecutor(launcher, instance=INSTANCE, drain_s=0.3, tracker=tracker)
    launcher.close()
    tracker.close()


@pytest.mark.parametrize("mode", OutputMode)
async def test_it_is_named_with_its_command_and_killed(
    executor: LocalExecutor, tmp_path: Path, mode: OutputMode
) -> None:
    """A process that does not hold the output is not; one in a session of its own is."""
    line = (
        "trap '' HUP; (exec >/dev/null 2>&1; exec sleep 61) & one=$!; setsid sleep 62 & other=$!; "
        """line() { tr '\\0' ' ' < /proc/$1/cmdline; }; """
        "until [ \"$(line $one)$(line $other)\" = 'sleep 61 sleep 62 ' ]; do :; done; exit 3"
    )
    spec = RunSpec(argv=("/bin/bash", "-c", line), cwd="/", output=mode)
    with trio.fail_after(60), open_console(tmp_path, a_run(spec)) as rig:
        outcome = await executor.execute(rig.run, rig.console)
    assert isinstance(outcome, Exited)
    [exited] = [it for it in rig.recorder.events if isinstance(it, ProgramExited)]
    [holder] = exited.holders
    assert holder == NamedProcess(holder.pid, "sleep 62")
    assert holder.pid in outcome.killed
    assert (outcome.exit_code, outcome.output_complete) == (3, True)
    assert rig.run.holders == (holder,)


async def test_one_that_ends_in_time_is_named_and_not_killed(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    vars(executor)["_drain_s"] = 60.0
    line = f"(until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo late) & exit 0"
    spec = RunSpec(argv=("/bin/bash", "-c", line), cwd="/")
    outcomes: list[Outcome] = []

    async def carry_out() -> None:
        outcomes.append(await executor.execute(rig.run, rig.console))

    with trio.fail_after(60), open_console(tmp_path, a_run(spec)) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry_out)
            await rig.wait_event(ProgramExited)
            (tmp_path / "go").touch()
    [outcome] = outcomes
    assert isinstance(outcome, Exited)
    assert (outcome.killed, outcome.output_complete) == ((), True)
    assert len(rig.run.holders) >= 1
    assert rig.output() == b"late\n"
