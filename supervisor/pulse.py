"""A wake-up that carries no data: it says "look again", nothing more."""

from __future__ import annotations

import trio


class Pulse:
    """Wakes everyone who waits.

    Nothing is lost as long as no await stands between looking and `wait`; a wake-up too many is
    harmless, since whoever wakes looks again.
    """

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._lot = trio.lowlevel.ParkingLot()

    def fire(self) -> None:
        """Wake everyone who waits now."""
        self._lot.unpark_all()

    async def wait(self) -> None:
        """Return after the next `fire`."""
        await self._lot.park()
