"""Runs on this machine: launch behind a gate, capture, stop, drain, and an honest end.

The life of a run is `LocalExecutor.execute` and, once its gate is open, `_attend`, each read from
top to bottom. "Exited" and "output closed" are two facts: the program's end is seen through its
pidfd, the end of its output through the pipes, and a descendant that holds a pipe is waited for a
bounded time and then killed. The leader stays unreaped until its tree has been dealt with, so
that its number keeps naming this tree and no other.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress

import trio

from supervisor import clock
from supervisor.errors import LaunchError, RunEnded
from supervisor.executors import Console, Trace
from supervisor.executors.environment import inheritable, marks, run_environment
from supervisor.executors.leftovers import Sweep
from supervisor.executors.output import OutputPipes
from supervisor.log.capture import RETRY_S
from supervisor.model import (
    SYSTEM,
    Deadline,
    DeadlineKind,
    Exited,
    Lost,
    NotStarted,
    Outcome,
    ProgramExited,
    Run,
    Signalled,
    Started,
    StopCause,
    StopRequest,
    StopStep,
    Tracking,
)
from supervisor.processes.launcher import GatedProcess, Launcher, LaunchRequest
from supervisor.processes.tracking import Tracker
from supervisor.processes.tree import KILL
from supervisor.signals import signal_name
from supervisor.spec import OnFull, RunSpec, StopPolicy

_KILL_WAIT_S = 5.0
"""How long killed processes may take to vanish before they are named as survivors."""
_PROMPT_S = 0.05
"""Output that ends within this time of the program ended with it; later, that is news. Processes
that are gone by then were not left behind."""
_SETTLE_S = 1.0
"""How long the end of output may take once everybody who could hold it was killed."""


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

    async def execute(self, run: Run, console: Console) -> Outcome:
        """Run it from start to end (see `Executor`)."""
        request = LaunchRequest(
            argv=run.spec.argv,
            env=run_environment(run, self._inherited, self._instance),
            cwd=run.spec.cwd,
        )
        with ExitStack() as owned:
            try:
                output = owned.enter_context(OutputPipes(run.spec.output))
                place = owned.enter_context(self._tracker.place(run.id))
                with place.opened() as group:
                    child = await self._launcher.launch(request, output.stdio(), cgroup=group)
            except LaunchError as exc:
                return NotStarted(message=exc.message)
            owned.enter_context(child)
            owned.enter_context(place.tracked(child, marks(run.id, self._instance)))
            output.close_writers()
            try:
                time_limit = _deadlines(DeadlineKind.TIMEOUT, run.spec.timeout_s)
                if console.stop.request is None:
                    await console.record(Started(child.ref, time_limit, child.tracking))
                if console.stop.request is not None:
                    return await _send_home(child, console.stop.request.cause)
                child.open_gate()
                self._live[run.id] = child
                watch = _Watch(child, console, output, run.spec)
                exited = await watch.attend(time_limit, self._drain_s)
                failure = child.start_failure(request)
                return exited if failure is None else NotStarted(message=failure)
            finally:
                self._live.pop(run.id, None)
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

    async def signal(self, run: Run, signal: str) -> StopStep:
        """Send one signal to the run's whole tree. Raises RunEnded if its program has ended."""
        child = self._live.get(run.id)
        if child is None or child.exited:
            raise RunEnded(f"run {run.id} has no process to signal")
        return child.send_signal(signal)


class _Watch:
    """One run between its open gate and its last process and byte."""

    def __init__(
        self,
        child: GatedProcess,
        console: Console,
        output: OutputPipes,
        spec: RunSpec,
    ) -> None:
        self._child = child
        self._console = console
        self._output = output
        self._policy = spec.stop
        self._silence_s = spec.no_output_timeout_s
        limit = spec.log_limit
        self._fails_when_full = limit is not None and limit.on_full is OnFull.FAIL
        self._stopped: StopCause | None = None
        self._stop_done = trio.Event()
        self._timer = trio.CancelScope()

    async def attend(self, time_limit: tuple[Deadline, ...], drain_s: float) -> Exited:
        """See it through: capture, stop when asked or out of time, drain, and clear up."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._output.capture, self._console)
            nursery.start_soon(self._stop_when_asked)
            if time_limit:
                nursery.start_soon(self._ask_stop_in_time, time_limit)
            if self._silence_s is not None:
                nursery.start_soon(self._ask_stop_when_silent, self._silence_s)
            if self._fails_when_full:
                nursery.start_soon(self._ask_stop_when_full)
            await self._child.wait_exited()
            self._timer.cancel()
            # That gives a descriptor back: if there is no other, it serves to look at /proc.
            self._child.read_report()
            if self._stopped is not None:
                await self._stop_done.wait()
            else:
                await self._drain(drain_s)
            killed, survivors = await self._kill_rest()
            complete = self._output.ended.is_set()
            code, usage = self._child.reap()
            nursery.cancel_scope.cancel()
        return Exited(
            exit_code=code if code >= 0 else None,
            signal=_signal_name(code),
            stopped=self._stopped,
            output_complete=complete,
            killed=killed,
            survivors=survivors,
            usage=usage,
        )

    async def _ask_stop_in_time(self, time_limit: tuple[Deadline, ...]) -> None:
        with self._timer:
            for deadline in time_limit:
                await trio.sleep(max(0.0, clock.seconds_until(deadline.at)))
                self._console.ask_stop(StopRequest(StopCause.TIMEOUT, self._policy, by=SYSTEM))

    async def _ask_stop_when_silent(self, limit_s: float) -> None:
        """Ask when nothing was written for `limit_s`; a log that cannot be written is no silence."""
        log = self._console.log
        with self._timer:
            while True:
                size = log.size
                with trio.move_on_after(limit_s) as patience:
                    while log.size == size:
                        await log.grew.wait()
                if patience.cancelled_caught and log.trouble is None:
                    break
            cause = StopCause.NO_OUTPUT_TIMEOUT
            self._console.ask_stop(StopRequest(cause, self._policy, by=SYSTEM))

    async def _ask_stop_when_full(self) -> None:
        while not self._console.log.overflowed:
            await self._console.log.grew.wait()
        self._console.ask_stop(StopRequest(StopCause.OUTPUT_LIMIT, self._policy, by=SYSTEM))

    async def _stop_when_asked(self) -> None:
        request = await self._console.stop.wait_asked()
        if self._child.exited:
            return  # It ended first, and so it stays what it was.
        self._stopped = request.cause
        gone = False if request.force else await self._ask_to_end(request.policy)
        if not gone and self._child.anyone_left():
            self._signal(KILL)
            with trio.move_on_after(_KILL_WAIT_S):
                await self._child.kill_whoever_comes()
        self._stop_done.set()

    async def _ask_to_end(self, policy: StopPolicy) -> bool:
        """The signal, then the grace, which the end of the tree or a forced stop cuts short.

        True if the whole tree has ended.
        """
        gone = False
        kill_at = _deadlines(DeadlineKind.KILL, policy.grace_s)
        self._signal(policy.signal, kill_at)
        self._child.wake()
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + policy.grace_s
            nursery.start_soon(_then_cancel, self._console.stop.wait_forced, nursery)
            await self._child.wait_gone()
            gone = True
            nursery.cancel_scope.cancel()
        return gone

    def _signal(self, signal: str, deadlines: tuple[Deadline, ...] = ()) -> None:
        step = self._child.send_signal(signal)
        self._console.note(Signalled(step, stopping=True, deadlines=deadlines))

    async def _drain(self, drain_s: float) -> None:
        """The program has ended: wait a while for its output to end, or until a stop is asked."""
        # If nobody is left to hold it, it is only we who are slow to read it.
        with trio.move_on_after(_PROMPT_S if self._child.anyone_left() else _SETTLE_S):
            await self._output.ended.wait()
            return
        code = self._child.peek_status()
        self._console.note(ProgramExited(code if code >= 0 else None, _signal_name(code)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_then_cancel, self._console.stop.wait_asked, nursery)
            nursery.start_soon(_then_cancel, self._output.ended.wait, nursery)
            await trio.sleep(drain_s)
            while self._console.log.trouble is not None:  # noqa: ASYNC110 - it goes by itself
                # Nobody holds these bytes back but the disk, which may have room again.
                await trio.sleep(2 * RETRY_S)
            nursery.cancel_scope.cancel()

    async def _gone_soon(self) -> bool:
        """Whether nobody is left. One that has just closed its output may be on its way out."""
        if not self._child.anyone_left():
            return True
        with trio.move_on_after(_PROMPT_S):
            await self._child.wait_gone()
            return True
        return False

    async def _kill_rest(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Kill what its tree left behind; the pids killed, and those that are there even so."""
        killed: tuple[int, ...] = ()
        survivors: tuple[int, ...] = ()
        if not await self._gone_soon():
            killed = self._child.send_signal(KILL).pids
            with trio.move_on_after(_KILL_WAIT_S):
                others = await self._child.kill_whoever_comes()
                killed = tuple(sorted({*killed, *others}))
        elif self._stopped is None:
            return (), ()
        with trio.move_on_after(_SETTLE_S):
            await self._output.ended.wait()
        with suppress(OSError):
            survivors = tuple(process.pid for process in self._child.members())
        return tuple(pid for pid in killed if pid not in survivors), survivors


async def _then_cancel(wait: Callable[[], Awaitable[object]], nursery: trio.Nursery) -> None:
    await wait()
    nursery.cancel_scope.cancel()


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
    with trio.move_on_after(_SETTLE_S, shield=True):
        child.close_gate()
        child.send_signal(KILL)
        await child.kill_whoever_comes()
        await child.wait_exited()
        child.reap()


def _deadlines(kind: DeadlineKind, seconds: float | None) -> tuple[Deadline, ...]:
    if seconds is None:
        return ()
    return (Deadline(kind, clock.after(clock.now(), seconds)),)


def _signal_name(code: int) -> str | None:
    """The signal that `code` (minus its number) stands for, None for an exit code."""
    return None if code >= 0 else signal_name(-code)


def _pids(pids: tuple[int, ...]) -> str:
    return ", ".join(str(pid) for pid in pids)
