"""A run that is paused: its processes are suspended, and its silence does not count."""

from __future__ import annotations

from supervisor.errors import RunEnded
from supervisor.model import PauseMeans
from supervisor.processes.launcher import GatedProcess
from supervisor.pulse import Pulse


class Pausing:
    """Suspends a run's processes and lets them go on (see `executors.Pausing`)."""

    def __init__(self, child: GatedProcess) -> None:
        """`child` is the run's first process, whose gate is open."""
        self._child = child
        self._changed = Pulse()

    @property
    def on(self) -> bool:
        """Whether it is paused."""
        return self._child.paused is not None

    def pause(self) -> PauseMeans:
        """Suspend all of it. Raises RunEnded if its program has ended."""
        if self._child.exited:
            raise RunEnded("its program has ended, so there is nothing to pause")
        means = self._child.pause()
        self._changed.fire()
        return means

    def resume(self) -> None:
        """Let it go on; nothing if it does. Raises RunEnded if there is nothing left of it."""
        if self._child.reaped:
            raise RunEnded("it has ended, so there is nothing to resume")
        self._child.resume()
        self._changed.fire()

    async def wait_on(self) -> None:
        """Return when it is paused."""
        while not self.on:
            await self._changed.wait()

    async def wait_off(self) -> None:
        """Return when it is not paused."""
        while self.on:
            await self._changed.wait()
