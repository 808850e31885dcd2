"""What a run has written is in its log when it has ended, however seldom the server had its turn."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.executors import Console, watch
from supervisor.executors.local import LocalExecutor
from supervisor.model import Started, StopRequest, Stream
from supervisor.outcome import Exited, StopCause
from supervisor.processes.launcher import Launcher
from supervisor.spec import OutputMode, RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console, wait_until

FORCE = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER, force=True)


@pytest.fixture
async def executor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalExecutor]:
    """One that never has its turn to read what a run writes, and does not wait for that."""

    async def never(_console: Console, _fd: int, _stream: Stream) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Console, "capture", never)
    monkeypatch.setattr(watch, "SETTLE_S", 0.01)
    launcher = Launcher()
    yield LocalExecutor(launcher, instance=f"last-output-{os.getpid()}", drain_s=0.01)
    launcher.close()


@pytest.mark.parametrize("output", OutputMode)
async def test_all_of_it_is_there_when_nobody_is_left_to_write(
    executor: LocalExecutor, tmp_path: Path, output: OutputMode
) -> None:
    spec = RunSpec(argv=("sh", "-c", "echo out; echo err >&2; exit 3"), cwd="/", output=output)
    run = a_run(spec, "run")
    with trio.fail_after(60), open_console(tmp_path, run) as rig:
        outcome = await executor.execute(run, rig.console)
        assert isinstance(outcome, Exited)
        assert (outcome.exit_code, outcome.output_complete) == (3, True)
        assert sorted(rig.output().split()) == [b"err", b"out"]
        assert [type(event) for event in rig.recorder.events] == [Started]


async def test_what_a_stopped_run_has_written_is_there(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    run = a_run(
        RunSpec(argv=("sh", "-c", "echo out; echo > ready; exec sleep 60"), cwd=str(tmp_path))
    )
    with trio.fail_after(60), open_console(tmp_path, run) as rig:
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                await wait_until((tmp_path / "ready").exists)
                rig.stop.ask(FORCE)

            nursery.start_soon(stop)
            outcome = await executor.execute(run, rig.console)
        assert isinstance(outcome, Exited)
        assert outcome.output_complete
        assert rig.output() == b"out\n"
