"""A wake-up that carries no data: it says "look again", nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio


class Pulse:
    """Wakes everyone who waits.

    Nothing is lost as long as no await stands between looking and `wait`; a wake-up too many is
    harmless, since whoever wakes looks again.
    """

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._lot = trio.lowlevel.ParkingLot()
        self._calls: dict[Callable[[], None], int] = {}

    def fire(self) -> None:
        """Wake everyone who waits now."""
        for call in list(self._calls):
            call()
        self._lot.unpark_all()

    async def wait(self) -> None:
        """Return after the next `fire`."""
        await self._lot.park()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Have `call` called by whoever fires, at once and once, however many ask for the same.

        So it has to wait for no task's turn. It must neither raise nor take long.
        """
        self._calls[call] = self._calls.get(call, 0) + 1
        try:
            yield
        finally:
            self._calls[call] -= 1
            if not self._calls[call]:
                del self._calls[call]
