"""The stop of one run, step by step and each step recorded: its signal, its grace, SIGKILL."""

from __future__ import annotations

import trio

from supervisor import clock
from supervisor.executors import Console
from supervisor.model import Deadline, DeadlineKind, Resumed, Run, Signalled, StopStep
from supervisor.outcome import StopCause
from supervisor.processes.launcher import GatedProcess
from supervisor.processes.tree import KILL
from supervisor.spec import StopPolicy, StopScope
from supervisor.waits import then_cancel

KILL_WAIT_S = 5.0
"""How long killed processes may take to vanish before they are named as survivors."""


class Stopping:
    """Stops a run when that is asked for."""

    def __init__(self, child: GatedProcess, console: Console, drain_s: float) -> None:
        """`child` is the run's first process, whose gate is open.

        `drain_s` is how long the others may stay behind it where only it was sent the signal.
        """
        self._child = child
        self._console = console
        self._drain_s = drain_s
        self.cause: StopCause | None = None
        """Why a signal of ours was sent; None if none was."""
        self.done = trio.Event()
        """Set when everything was done that can be, if there was a cause."""

    async def stop_when_asked(self, run: Run) -> None:
        """Wait for the wish, then see it through. Does nothing once the program has ended.

        A stop that an earlier server has begun with `run` goes on where it was.
        """
        request = await self._console.stop.wait_asked()
        if self._child.exited and run.stop is None:
            return  # It ended first, and so it stays what it was.
        # What is sent first is sent before anybody knows of the request, and recorded after it.
        begun = run.stop is not None and bool(run.stop.steps)
        self.cause = request.cause
        gone = False
        if begun and not request.force:
            gone = await self._give_grace(request.policy, grace_left(run))
        elif not request.force:
            gone = await self._ask_to_end(request.policy)
        # The program itself counts wherever it is, even if somebody took its control group away.
        if not gone and (not self._child.exited or self._child.anyone_left()):
            await self._kill()
        self.done.set()

    async def _kill(self) -> None:
        seen = self._signal(KILL, StopScope.TREE).pids
        at = clock.now().wall
        with trio.move_on_after(KILL_WAIT_S):
            late = set(await self._child.kill_whoever_comes()).difference(seen)
            if late:
                step = StopStep(at, KILL, "processes", tuple(sorted(late)))
                self._console.note(Signalled(step, stopping=True))

    async def _ask_to_end(self, policy: StopPolicy) -> bool:
        """The signal, then the grace, which the end of the tree or a forced stop cuts short.

        True if the whole tree has ended.
        """
        kill_at = deadlines_after(DeadlineKind.KILL, policy.grace_s)
        self._signal(policy.signal, policy.scope, kill_at)
        self._child.wake(policy.scope)
        if self._child.paused:
            self._child.resume()
            self._console.note(Resumed())
        return await self._give_grace(policy, policy.grace_s)

    async def _give_grace(self, policy: StopPolicy, grace_s: float) -> bool:
        """Wait for the end of the tree for so long; True if it has come."""
        gone = False
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + grace_s
            nursery.start_soon(then_cancel, self._console.stop.wait_forced, nursery)
            gone = await self._wait_gone(policy.scope)
            nursery.cancel_scope.cancel()
        return gone

    async def _wait_gone(self, scope: StopScope) -> bool:
        """True if all are gone; only the first process is waited for if only it was asked."""
        if scope is StopScope.MAIN:
            await self._child.wait_exited()
            with trio.move_on_after(self._drain_s):
                await self._child.wait_gone()
                return True
            return False
        await self._child.wait_gone()
        return True

    def _signal(
        self, signal: str, scope: StopScope, deadlines: tuple[Deadline, ...] = ()
    ) -> StopStep:
        step = self._child.send_signal(signal, scope)
        self._console.note(Signalled(step, stopping=True, deadlines=deadlines))
        return step


def grace_left(run: Run) -> float:
    """For how many seconds a stop that has begun is still to wait."""
    left = [clock.seconds_until(it.at) for it in run.deadlines if it.kind is DeadlineKind.KILL]
    return max([0.0, *left])


def deadlines_after(kind: DeadlineKind, seconds: float | None) -> tuple[Deadline, ...]:
    """The one that is so far from now, as data; none for None."""
    if seconds is None:
        return ()
    return (Deadline(kind, clock.after(clock.now(), seconds)),)
