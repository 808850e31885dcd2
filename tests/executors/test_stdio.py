"""What runs read and write when descriptors run out: they fail clearly, and nothing is left open."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.executors.local import LocalExecutor
from supervisor.outcome import Exited, NotStarted
from supervisor.processes.launcher import Launcher
from supervisor.spec import OutputMode, RunSpec, Stdin, StdinMode, StdinSource
from supervisor.testing import a_run, open_console
from tests.descriptors import free_descriptors, none_is_left

SPECS = [
    (OutputMode.SPLIT, StdinMode.OPEN),
    (OutputMode.MERGED, StdinSource(text="text")),
    (OutputMode.PTY, StdinMode.CLOSED),
]
MANY = 24
"""More than any run needs."""


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[LocalExecutor]:
    """One whose launcher runs already."""
    launcher = Launcher()
    executor = LocalExecutor(launcher, instance=f"stdio-{os.getpid()}", drain_s=0.5)
    run = a_run(RunSpec(argv=("true",), cwd="/"), "first")
    with open_console(tmp_path, run) as rig:
        await executor.execute(run, rig.console)
    yield executor
    launcher.close()


@pytest.mark.parametrize(("output", "stdin"), SPECS)
async def test_however_few_descriptors_are_left_a_run_works_or_fails_and_leaves_none(
    executor: LocalExecutor, tmp_path: Path, output: OutputMode, stdin: Stdin
) -> None:
    failures: set[str] = set()
    spec = RunSpec(argv=("/bin/sh", "-c", "echo hello"), cwd="/", output=output, stdin=stdin)
    worked = False
    for count in range(MANY):
        run = a_run(spec, f"run-{count}")
        with none_is_left(), trio.fail_after(60), open_console(tmp_path, run) as rig:
            with free_descriptors(count):
                outcome = await executor.execute(run, rig.console)
            if isinstance(outcome, NotStarted):
                assert not worked, f"{count} are enough, and {count - 1} were"
                failures.add(outcome.message.partition(":")[0])
            else:
                assert isinstance(outcome, Exited)
                assert outcome.exit_code == 0
                assert rig.output() == (b"hello\r\n" if output is OutputMode.PTY else b"hello\n")
                worked = True
    assert worked
    what = "terminal" if output is OutputMode.PTY else "output pipes"
    assert f"cannot make its {what}" in failures
