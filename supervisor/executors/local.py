"""Runs on this machine: launch behind a gate, capture, stop, drain, and an honest end.

The life of a run is `LocalExecutor.execute` and, once its gate is open, `Watch.attend`, each read
from top to bottom. The leader stays unreaped until its tree has been dealt with, so that its
number keeps naming this tree and no other.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

import trio

from supervisor.conditions import Conditions
from supervisor.errors import LaunchError, RunEnded
from supervisor.executors import Console, Trace
from supervisor.executors.environment import inheritable, marks
from supervisor.executors.leftovers import Sweep
from supervisor.executors.preparing import identity_of, prepare
from supervisor.executors.stdio import open_stdio
from supervisor.executors.stopping import deadlines_after
from supervisor.executors.watch import SETTLE_S, Watch
from supervisor.model import (
    DeadlineKind,
    Lost,
    NotStarted,
    Outcome,
    Run,
    Started,
    StopCause,
    StopStep,
    Tracking,
)
from supervisor.processes.grants import check_grantable
from supervisor.processes.identity import check_may_be
from supervisor.processes.launcher import GatedProcess, Launcher
from supervisor.processes.tracking import Tracker
from supervisor.processes.tree import KILL
from supervisor.spec import StopScope


class LocalExecutor:
    """Carries runs out as processes of this machine, in this server's name."""

    name = "local"
    intent_first = False

    def __init__(
        self, launcher: Launcher, *, instance: str, drain_s: float, tracker: Tracker | None = None
    ) -> None:
        """`instance` marks this server's processes; `drain_s` bounds the wait for output.

        `tracker` is how their processes are known, if by more than session and group.
        """
        self._launcher = launcher
        self._instance = instance
        self._inherited = inheritable(os.environ)
        self._drain_s = drain_s
        self._tracker = tracker or Tracker()
        self.tracking: Tracking | None = self._tracker.best
        self._sweep = Sweep(instance)
        self._live: dict[str, GatedProcess] = {}

    async def check(self, conditions: Conditions) -> None:
        """Raise BadValue if this process cannot grant it (see `Executor`)."""
        self._tracker.check(conditions.limits)
        check_grantable(conditions)
        check_may_be(await identity_of(conditions))

    async def execute(self, run: Run, console: Console) -> Outcome:
        """Run it from start to end (see `Executor`)."""
        with ExitStack() as owned:
            try:
                request = await prepare(run, self._inherited, self._instance)
                stdio = owned.enter_context(open_stdio(run.spec))
                place = owned.enter_context(self._tracker.place(run.id, run.spec.limits))
                with place.opened() as group:
                    child = await self._launcher.launch(request, stdio.theirs(), cgroup=group)
            except LaunchError as exc:
                return NotStarted(message=exc.message)
            owned.enter_context(child)
            owned.enter_context(place.tracked(child, marks(run.id, self._instance)))
            stdio.launched()
            try:
                time_limit = deadlines_after(DeadlineKind.TIMEOUT, run.spec.timeout_s)
                console.input, console.screen = stdio.input, stdio.screen
                if console.stop.request is None:
                    await console.record(Started(child.ref, time_limit, child.tracking))
                if console.stop.request is not None:
                    return await _send_home(child, console.stop.request.cause)
                child.open_gate()
                self._live[run.id] = child
                watch = Watch(child, console, stdio, self._drain_s)
                exited = await watch.attend(run.spec, time_limit)
                failure = child.start_failure(request)
                return exited if failure is None else NotStarted(message=failure)
            finally:
                self._live.pop(run.id, None)
                console.input = console.screen = None
                await _let_go(child)

    async def find(self, run: Run) -> Trace:
        """A gate that nobody opened starts nothing: no recorded start means there was none."""
        del run
        return Trace.NEVER_STARTED

    async def reattach(self, run: Run, console: Console) -> Outcome:
        """Nobody saw this run's end: kill what is left of it and say so."""
        del console
        left = await self._sweep.end_leftovers(run, self._tracker.left_of(run.id))
        message = "the server went down while it ran; how it ended is not known"
        if left.killed:
            message += f"; processes left of it were killed: {_pids(left.killed)}"
        if left.unattributed:
            message += f"; left alone, as they may not be its own: {_pids(left.unattributed)}"
        return Lost(message=message, killed=left.killed, unattributed=left.unattributed)

    async def signal(self, run: Run, signal: str, scope: StopScope) -> StopStep:
        """Send one signal to the run's processes. Raises RunEnded if its program has ended."""
        child = self._live.get(run.id)
        if child is None or child.exited:
            raise RunEnded(f"run {run.id} has no process to signal")
        return child.send_signal(signal, scope)


async def _send_home(child: GatedProcess, cause: StopCause) -> NotStarted:
    """The stop came before the start: the gate closes and nothing runs."""
    child.close_gate()
    await child.wait_exited()
    child.reap()
    return NotStarted(message="stopped before it started", stopped=cause)


async def _let_go(child: GatedProcess) -> None:
    """The server is falling, or a bug ended us: leave no process behind. Else nothing to do."""
    if child.reaped:
        return
    with trio.move_on_after(SETTLE_S, shield=True):
        child.close_gate()
        child.send_signal(KILL)
        await child.kill_whoever_comes()
        await child.wait_exited()
        child.reap()


def _pids(pids: tuple[int, ...]) -> str:
    return ", ".join(str(pid) for pid in pids)
