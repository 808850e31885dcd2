"""The end of the server, as those hear of it who are connected."""

from __future__ import annotations

import trio

GOING_AWAY, SERVICE_RESTART = 1001, 1012


class Shutdown:
    """It has begun or not, and then it is known whether another server follows at once."""

    def __init__(self) -> None:
        """Nobody has been told yet."""
        self.begun = trio.Event()
        self.restarting = False
        """Whether the next server follows at once, with the same runs."""

    def begin(self, *, restarting: bool = False) -> None:
        """Have everybody told."""
        self.restarting = restarting
        self.begun.set()

    @property
    def close_code(self) -> int:
        """What a WebSocket is closed with then (RFC 6455, section 7.4.1, and its IANA registry)."""
        return SERVICE_RESTART if self.restarting else GOING_AWAY

    def is_set(self) -> bool:
        """Whether it has begun."""
        return self.begun.is_set()

    async def wait(self) -> None:
        """Return when it begins."""
        await self.begun.wait()
