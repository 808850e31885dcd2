"""A proxy that cuts connections when it is told to, and leads wherever it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Proxy:
    """Listens at `port`; what connects is led to `target`, and refused while that is None."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.target: tuple[str, int] | None = None
        self._live: set[trio.CancelScope] = set()

    def cut(self) -> int:
        """Cut every connection there is; how many that were."""
        for scope in self._live:
            scope.cancel()
        return len(self._live)

    async def serve(self, near: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._live.add(scope)
            try:
                async with near:
                    if self.target is not None:
                        await _join(near, await trio.open_tcp_stream(*self.target))
            except OSError:
                pass  # nobody listens there now
            finally:
                self._live.discard(scope)


async def _join(near: trio.SocketStream, far: trio.SocketStream) -> None:
    async with far, trio.open_nursery() as nursery:

        async def copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            try:
                async for piece in source:
                    await sink.send_all(piece)
            except trio.BrokenResourceError:
                pass
            nursery.cancel_scope.cancel()

        nursery.start_soon(copy, near, far)
        nursery.start_soon(copy, far, near)


@asynccontextmanager
async def open_proxy() -> AsyncIterator[Proxy]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy = Proxy(listener.socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, proxy.serve, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
