"""Runs on this machine: launch behind a gate, capture, stop, drain, and an honest end.

The life of a run is `LocalExecutor.execute` and, once its gate is open, `Watch.attend`, each read
from top to bottom. The leader stays unreaped until its tree has been dealt with, so that its
number keeps naming this tree and no other.
"""

from __future__ import annotations

import functools
import logging
import math
import os
from contextlib import ExitStack

import trio

from supervisor.conditions import Conditions
from supervisor.errors import LaunchError, RunEnded
from supervisor.executors import Console, Trace
from supervisor.executors.environment import inheritable, marks
from supervisor.executors.leftovers import Sweep
from supervisor.executors.preparing import identity_of, prepare, request_of
from supervisor.executors.stdio import STDIN, Stdio, needed_roles, open_stdio, take_over_stdio
from supervisor.executors.stopping import deadlines_after
from supervisor.executors.watch import SETTLE_S, Watch
from supervisor.fdstore import FdStore
from supervisor.model import Deadline, DeadlineKind, Reattached, Run, Started, StopStep, Tracking
from supervisor.outcome import Exited, Lost, NotStarted, Outcome, StopCause
from supervisor.processes.grants import check_grantable
from supervisor.processes.identity import check_may_be
from supervisor.processes.launcher import PROCESS, GatedProcess, Launcher, take_over
from supervisor.processes.tracking import Place, Tracker
from supervisor.processes.tree import KILL
from supervisor.spec import StopScope

_log = logging.getLogger("runwire.local")


class LocalExecutor:
    """Carries runs out as processes of this machine, in this server's name."""

    name = "local"
    intent_first = False

    def __init__(
        self,
        launcher: Launcher,
        *,
        instance: str,
        drain_s: float,
        tracker: Tracker | None = None,
        store: FdStore | None = None,
    ) -> None:
        """`instance` marks this server's processes; `drain_s` bounds the wait for output.

        `tracker` is how their processes are known, if by more than session and group. `store` is
        what keeps their descriptors for the next server, and those that the last one has left.
        """
        self._launcher = launcher
        self._instance = instance
        self._inherited = inheritable(os.environ)
        self._drain_s = drain_s
        self._tracker = tracker or Tracker()
        self.tracking: Tracking | None = self._tracker.best
        self._store = store or FdStore()
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
                    child = await self._launcher.launch(
                        request, stdio.theirs(), cgroup=group, watched=self._store.watched
                    )
            except LaunchError as exc:
                return NotStarted(message=exc.message)
            owned.enter_context(child)
            owned.enter_context(place.tracked(child, marks(run.id, self._instance)))
            stdio.launched()
            survives = False
            try:
                self._connect(run, console, stdio)
                if console.stop.request is None:
                    survives = await self._keep(run, child, stdio)
                time_limit = deadlines_after(DeadlineKind.TIMEOUT, run.spec.timeout_s)
                # Who is not on record as started when the server is restarted only waits again.
                if console.stop.request is None:
                    await console.record(Started(child.ref, time_limit, child.tracking, survives))
                if console.stop.request is not None:
                    return await _send_home(child, console.stop.request.cause)
                child.open_gate()
                exited = await self._attend(run, console, child, stdio, time_limit)
                failure = child.start_failure(request)
                return exited if failure is None else NotStarted(message=failure)
            finally:
                console.input = console.screen = None
                await _let_go(child, survives=survives)

    def _connect(self, run: Run, console: Console, stdio: Stdio) -> None:
        """Who wants to type, or to resize its terminal, now can."""
        console.input, console.screen = stdio.input, stdio.screen
        if stdio.input is not None:
            # Its end has come for the program when no copy of our end is left.
            stdio.input.on_ended = functools.partial(self._store.drop, run.id, STDIN)

    async def _keep(self, run: Run, child: GatedProcess, stdio: Stdio) -> bool:
        """Whether it survives a restart; all that takes is then where the next server gets it.

        Only with a control group is it sure who belongs to it when its first process has ended.
        """
        if not self._store.there or child.tracking is not Tracking.CGROUP:
            return False
        kept = await self._store.keep(run.id, child.kept() | stdio.kept())
        if not kept:
            _log.warning(
                "run %s will not survive a restart: systemd keeps no more descriptors "
                "(FileDescriptorStoreMax=)",
                run.id,
            )
        return kept

    async def _attend(
        self,
        run: Run,
        console: Console,
        child: GatedProcess,
        stdio: Stdio,
        limit: tuple[Deadline, ...],
    ) -> Exited | Lost:
        self._live[run.id] = child
        try:
            return await Watch(child, console, stdio, self._drain_s).attend(run, limit)
        finally:
            self._live.pop(run.id, None)

    async def find(self, run: Run) -> Trace:
        """A gate that nobody opened starts nothing: no recorded start means there was none."""
        del run
        return Trace.NEVER_STARTED

    async def reattach(self, run: Run, console: Console) -> Outcome:
        """Go on with it if its descriptors were kept; else end what is left of it."""
        with ExitStack() as owned:
            kept = self._store.take(run.id)
            if run.process is None or not needed_roles(run.spec) | {PROCESS} <= kept.keys():
                for fd in kept.values():
                    os.close(fd)
                return await self._end_leftovers(run)
            child = owned.enter_context(take_over(run.process, kept))
            try:
                stdio = owned.enter_context(take_over_stdio(run.spec, kept))
                place = self._place_again(run, owned)
            except LaunchError as exc:
                _log.error("run %s cannot go on: %s", run.id, exc.message)
                return await self._end_leftovers(run)
            owned.enter_context(place.tracked(child, marks(run.id, self._instance)))
            console.note(Reattached())
            if run.paused_at is None:
                child.was_not_paused()
            else:
                child.was_paused()
            try:
                self._connect(run, console, stdio)
                time_limit = tuple(it for it in run.deadlines if it.kind is DeadlineKind.TIMEOUT)
                exited = await self._attend(run, console, child, stdio, time_limit)
                failure = child.start_failure(request_of(run.spec))
                return exited if failure is None else NotStarted(message=failure)
            finally:
                console.input = console.screen = None
                await _let_go(child, survives=True)

    def _place_again(self, run: Run, owned: ExitStack) -> Place:
        """Where it is, for `owned` to leave. The limits there may have been lifted meanwhile."""
        try:
            return owned.enter_context(self._tracker.place(run.id, run.spec.limits))
        except LaunchError as exc:
            _log.warning("run %s goes on without its limits: %s", run.id, exc.message)
            return owned.enter_context(self._tracker.place(run.id))

    def forget(self, run_id: str) -> None:
        """Nothing needs to be kept of it (see `Executor`)."""
        self._store.drop(run_id)

    async def _end_leftovers(self, run: Run) -> Lost:
        """Nobody saw this run's end: kill what is left of it and say so."""
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


async def _let_go(child: GatedProcess, *, survives: bool) -> None:
    """The server is falling, or a bug ended us: leave nothing behind, but what is to survive a fall.

    Else nothing to do.
    """
    falling = trio.current_effective_deadline() == -math.inf
    if child.reaped or (survives and falling):
        return
    with trio.move_on_after(SETTLE_S, shield=True):
        child.close_gate()
        child.send_signal(KILL)
        await child.kill_whoever_comes()
        await child.wait_exited()
        child.reap()


def _pids(pids: tuple[int, ...]) -> str:
    return ", ".join(str(pid) for pid in pids)
