"""Executors under test, and runs that they carry out.

The programs are lists of steps (see `supervisor.testing.fake`): the fake executor plays them, for
the local one a real program carries them out in real processes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from supervisor.executors import Executor
from supervisor.executors.environment import INSTANCE
from supervisor.model import (
    Run,
    StopRequest,
    StopRequested,
)
from supervisor.outcome import Outcome, StopCause
from supervisor.processes import procfs
from supervisor.spec import RunSpec, StopPolicy, StopScope
from supervisor.testing import TESTER, a_run, open_console, program
from supervisor.testing.rig import ConsoleRig

STEPS = Path(__file__).parent.parent / "programs" / "steps.py"
DRAIN_S = 0.3
LONG = "wait 60"
TOKEN = f"contract-of-executors-{os.getpid()}"


class Bench(msgspec.Struct, frozen=True):
    """An executor under test, and how a list of steps becomes a program for it."""

    executor: Executor
    directory: Path
    argv: Callable[[tuple[str, ...]], tuple[str, ...]]

    def run(self, *steps: str, **changes: object) -> Run:
        """A dispatched run of `steps`. `changes` are fields of its spec."""
        return self.run_of(msgspec.structs.replace(program(), argv=self.argv(steps), **changes))

    def run_of(self, spec: RunSpec) -> Run:
        """A dispatched run of any spec."""
        return a_run(spec)


def marked() -> list[procfs.ProcessStat]:
    """Every living process that these tests' executor has made."""
    return [
        process
        for process in procfs.living()
        if procfs.environment(process.pid).get(INSTANCE.encode()) == TOKEN.encode()
    ]


class Live:
    """A run that is being carried out."""

    def __init__(self, rig: ConsoleRig) -> None:
        self.rig = rig
        self.outcome: Outcome | None = None
        self.done = trio.Event()

    async def wait_outcome(self) -> Outcome:
        await self.done.wait()
        assert self.outcome is not None
        return self.outcome

    def steps(self) -> list[tuple[str, str]]:
        """The signals of the stop receipt, with what came of each."""
        receipt = self.rig.run.stop
        return [(step.signal, step.result) for step in receipt.steps] if receipt else []


@asynccontextmanager
async def live(bench: Bench, run: Run) -> AsyncIterator[Live]:
    """`run` under way; its end is waited for."""
    with trio.fail_after(300), open_console(bench.directory, run) as rig:
        async with trio.open_nursery() as nursery:
            it = Live(rig)

            async def carry_out() -> None:
                it.outcome = await bench.executor.execute(run, rig.console)
                it.done.set()

            nursery.start_soon(carry_out)
            yield it
            await it.done.wait()


async def carry_out(bench: Bench, run: Run) -> tuple[Outcome, ConsoleRig]:
    """`run` from start to end."""
    async with live(bench, run) as it:
        await it.done.wait()
    assert it.outcome is not None
    return it.outcome, it.rig


def stop_request(
    signal: str = "TERM",
    grace_s: float = 10.0,
    *,
    scope: StopScope = StopScope.TREE,
    force: bool = False,
    cause: StopCause = StopCause.CANCEL,
) -> StopRequest:
    return StopRequest(cause, StopPolicy(signal, grace_s, scope), TESTER, force)


def ask(it: Live, request: StopRequest) -> None:
    """Ask for a stop as the engine does: recorded first, then in the box."""
    it.rig.recorder.post(StopRequested(request), request.by)
    it.rig.stop.ask(request)
