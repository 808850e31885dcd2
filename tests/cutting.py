"""A proxy that breaks connections, and counts what passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import trio

Dial = Callable[[], Awaitable[trio.SocketStream]]


class Proxy:
    """Leads each connection to where `dial` leads.

    `limits` are how many bytes of the answer the first connections pass before they break.
    """

    def __init__(self, port: int, dial: Dial, limits: Iterable[int]) -> None:
        self.port = port
        self.connections = 0
        self.passed = 0
        """How many bytes the server has sent in all."""
        self._dial = dial
        self._limits = iter(limits)
        self._live: set[trio.CancelScope] = set()

    def cut(self) -> None:
        """Break every connection there is."""
        for scope in self._live:
            scope.cancel()

    async def serve(self, near: trio.SocketStream) -> None:
        """One connection."""
        self.connections += 1
        with trio.CancelScope() as scope:
            self._live.add(scope)
            try:
                async with near, await self._dial() as far, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass, near, far, nursery.cancel_scope)
                    await self._pass_back(far, near)
                    nursery.cancel_scope.cancel()
            finally:
                self._live.discard(scope)

    async def _pass(
        self, source: trio.SocketStream, sink: trio.SocketStream, over: trio.CancelScope
    ) -> None:
        try:
            async for piece in source:
                await sink.send_all(piece)
        except trio.BrokenResourceError:
            pass
        over.cancel()

    async def _pass_back(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        left = next(self._limits, None)
        try:
            async for piece in source:
                self.passed += len(piece)
                await sink.send_all(piece[:left])
                left = None if left is None else left - len(piece)
                if left is not None and left <= 0:
                    return
        except trio.BrokenResourceError:
            pass


@asynccontextmanager
async def open_proxy(dial: Dial, limits: Iterable[int] = ()) -> AsyncIterator[Proxy]:
    """A proxy on a port of its own."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy = Proxy(listener.socket.getsockname()[1], dial, limits)
        nursery.start_soon(trio.serve_listeners, proxy.serve, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
