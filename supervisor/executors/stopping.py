"""The stop of one run, step by step and each step recorded: its signal, its grace, SIGKILL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from supervisor import clock
from supervisor.executors import Console
from supervisor.model import Deadline, DeadlineKind, Signalled, StopCause
from supervisor.processes.launcher import GatedProcess
from supervisor.processes.tree import KILL
from supervisor.spec import StopPolicy

KILL_WAIT_S = 5.0
"""How long killed processes may take to vanish before they are named as survivors."""


class Stopping:
    """Stops a run when that is asked for."""

    def __init__(self, child: GatedProcess, console: Console) -> None:
        """`child` is the run's first process, whose gate is open."""
        self._child = child
        self._console = console
        self.cause: StopCause | None = None
        """Why a signal of ours was sent; None if none was."""
        self.done = trio.Event()
        """Set when everything was done that can be, if there was a cause."""

    async def stop_when_asked(self) -> None:
        """Wait for the wish, then see it through. Does nothing once the program has ended."""
        request = await self._console.stop.wait_asked()
        if self._child.exited:
            return  # It ended first, and so it stays what it was.
        self.cause = request.cause
        gone = False if request.force else await self._ask_to_end(request.policy)
        if not gone and self._child.anyone_left():
            self._signal(KILL)
            with trio.move_on_after(KILL_WAIT_S):
                await self._child.kill_whoever_comes()
        self.done.set()

    async def _ask_to_end(self, policy: StopPolicy) -> bool:
        """The signal, then the grace, which the end of the tree or a forced stop cuts short.

        True if the whole tree has ended.
        """
        gone = False
        self._signal(policy.signal, deadlines_after(DeadlineKind.KILL, policy.grace_s))
        self._child.wake()
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + policy.grace_s
            nursery.start_soon(then_cancel, self._console.stop.wait_forced, nursery)
            await self._child.wait_gone()
            gone = True
            nursery.cancel_scope.cancel()
        return gone

    def _signal(self, signal: str, deadlines: tuple[Deadline, ...] = ()) -> None:
        step = self._child.send_signal(signal)
        self._console.note(Signalled(step, stopping=True, deadlines=deadlines))


async def then_cancel(wait: Callable[[], Awaitable[object]], nursery: trio.Nursery) -> None:
    """End all that goes on in `nursery` as soon as `wait` returns."""
    await wait()
    nursery.cancel_scope.cancel()


def deadlines_after(kind: DeadlineKind, seconds: float | None) -> tuple[Deadline, ...]:
    """The one that is so far from now, as data; none for None."""
    if seconds is None:
        return ()
    return (Deadline(kind, clock.after(clock.now(), seconds)),)
