"""Keeps the service manager told how the server is, for as long as it runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from supervisor.service import Supervisor
from supervisor.servicemanager import ServiceManager

_log = logging.getLogger("runwire")

_STATUS_EVERY_S = 1.0
_LOOK_EVERY_S = 1.0
_EXTEND_EVERY_S = 1.0
_EXTEND_S = 10.0
"""How much longer a stop may take each time that is said: several times as long as between two."""


async def keep_told(manager: ServiceManager, supervisor: Supervisor) -> None:
    """Tell how many runs there are and what cannot be stored, whenever that changes. Never returns."""
    told = supervisor.summary()
    while True:
        # Of a log that cannot be written nobody tells, so that is looked at.
        with trio.move_on_after(_LOOK_EVERY_S):
            await supervisor.changed.wait()
        if (now := supervisor.summary()) != told:
            manager.status(now)
            told = now
            await trio.sleep(_STATUS_EVERY_S)


async def keep_storage_watched(supervisor: Supervisor) -> None:
    """Say in the server's own log when storage fails, and when it works again. Never returns."""
    failing = False
    while True:
        troubles = supervisor.troubles()
        if troubles and not failing:
            others = f" (and {len(troubles) - 1} more)" if troubles[1:] else ""
            _log.error("%s%s; it is tried again until it works", troubles[0], others)
        elif failing and not troubles:
            _log.warning("all that could not be stored is stored now")
        failing = bool(troubles)
        await trio.sleep(_LOOK_EVERY_S)


async def keep_watched(manager: ServiceManager, supervisor: Supervisor) -> None:
    """Show that the server does its work, often enough for the watchdog.

    Only after a round trip through the event loop and the journal: a server that turns but cannot
    record anything is as good as hung. Storage that fails is told by it and is not that.
    """
    if manager.watchdog_s is None:
        return
    while True:
        await supervisor.check_answers()
        manager.alive()
        await trio.sleep(manager.watchdog_s / 3)


@asynccontextmanager
async def stopping(manager: ServiceManager, status: str) -> AsyncIterator[None]:
    """The server goes away: asks for more time for as long as that takes."""
    manager.stopping(status)

    async def extend() -> None:
        while True:
            manager.extend(_EXTEND_S)
            await trio.sleep(_EXTEND_EVERY_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(extend)
        yield
        nursery.cancel_scope.cancel()
