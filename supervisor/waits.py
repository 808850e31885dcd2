"""Waits for one thing or another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


async def then_cancel(wait: Callable[[], Awaitable[object]], nursery: trio.Nursery) -> None:
    """End all that goes on in `nursery` as soon as `wait` returns."""
    await wait()
    nursery.cancel_scope.cancel()
