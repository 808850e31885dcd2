"""What a run is said to have used: right, or not said at all."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.executors.local import LocalExecutor
from supervisor.model import Tracking
from supervisor.outcome import Exited, Meter, Usage
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.spec import RunSpec
from supervisor.testing import a_run, open_console
from supervisor.units import MIB

PYTHON = (sys.executable, "-I", "-S", "-c")
ORPHAN = """
import os, time
read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        while time.process_time() < 0.5: pass
        os.write(write, b"x")
    os._exit(0)
os.wait()
os.read(read, 1)
"""


@pytest.fixture(params=[None, Tracking.SUBREAPER, Tracking.GROUP])
async def executor(request: pytest.FixtureRequest) -> AsyncIterator[LocalExecutor]:
    """By the best means that there is here, and by each that does without control groups."""
    launcher = Launcher()
    instance = f"accounting-{os.getpid()}"
    tracker, _why = open_tracker(request.param, instance, own=launcher.pids)
    yield LocalExecutor(launcher, instance=instance, drain_s=0.5, tracker=tracker)
    launcher.close()
    tracker.close()


async def usage_of(executor: LocalExecutor, directory: Path, *argv: str) -> Usage:
    """What a run of `argv` used."""
    spec = RunSpec(argv=argv, cwd="/")
    with trio.fail_after(60), open_console(directory, a_run(spec)) as rig:
        outcome = await executor.execute(rig.run, rig.console)
    assert isinstance(outcome, Exited)
    assert outcome.exit_code == 0
    assert outcome.usage is not None
    return outcome.usage


async def test_the_time_that_it_computed(executor: LocalExecutor, tmp_path: Path) -> None:
    code = "import time\nwhile time.process_time() < 0.5: pass"
    usage = await usage_of(executor, tmp_path, *PYTHON, code)
    assert 0.45 < usage.user_s + usage.system_s < 2


async def test_that_of_what_nobody_waited_for_counts_where_it_can_be_known(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """An orphan in a session of its own; the figure tells by what it was measured."""
    usage = await usage_of(executor, tmp_path, *PYTHON, ORPHAN)
    by_group = executor.tracking is Tracking.CGROUP
    assert usage.cpu_by is (Meter.CGROUP if by_group else Meter.RUSAGE)
    assert (usage.user_s + usage.system_s > 0.45) is by_group


async def test_the_most_memory_that_it_had(executor: LocalExecutor, tmp_path: Path) -> None:
    """Not what it had in the end, and that of a child which was the largest counts."""
    code = (
        "import os\n"
        "if os.fork() == 0:\n"
        "    x = b'x' * (60 << 20)\n"
        "    del x\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    usage = await usage_of(executor, tmp_path, *PYTHON, code)
    assert usage.peak_memory is not None
    assert 60 * MIB < usage.peak_memory < 120 * MIB
    assert usage.memory_by is not None


async def test_the_server_s_own_memory_is_not_taken_for_the_run_s(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """exec(2) keeps the size of what came before as the largest one: here 200 MiB."""
    ballast = b"x" * (200 * MIB)
    usage = await usage_of(executor, tmp_path, "/bin/true")
    del ballast
    if usage.memory_by is Meter.CGROUP:
        assert usage.peak_memory is not None
        assert usage.peak_memory < 64 * MIB
    else:
        # It was smaller than the launcher's copy was before it: not known, and so not said.
        assert usage.peak_memory is None


async def test_how_many_processes_there_were_is_said_where_it_is_counted(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    usage = await usage_of(
        executor,
        tmp_path,
        "/bin/sh",
        "-c",
        "sleep 600 & a=$!; sleep 600 & kill $a $!; wait; exit 0",
    )
    counted = "pids" not in executor._tracker._troubles
    assert usage.peak_processes == (3 if counted else None)
