"""A WebSocket client for tests, and runs whose every byte the test writes."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from supervisor.model import Status, Stream
from tests.patience import PATIENCE_S
from tests.web.scene import Said, output, parsed
from tests.web.served import TOKEN, Site

BINARY = "runwire.binary"


class Watcher:
    """One connection."""

    def __init__(self, websocket: WebSocketConnection, stream: trio.SocketStream) -> None:
        self.websocket = websocket
        self.stream = stream
        self.said: list[Said] = []
        """Everything that came, frames as in `scene.parsed`."""

    async def say(self, message: dict[str, Any] | str | bytes) -> None:
        text = json.dumps(message) if isinstance(message, dict) else message
        await self.websocket.send_message(text)

    async def hear(self) -> list[Said]:
        """The next message; several if it is one of frames."""
        with trio.fail_after(PATIENCE_S):
            said = parsed(await self.websocket.get_message())
        self.said += said
        return said

    async def hear_until(self, kind: str) -> list[Said]:
        """Everything so far, once a message of this type has come."""
        while not any(message["type"] == kind for message in self.said):
            await self.hear()
        return self.said

    async def hear_bytes(self, until: int) -> list[Said]:
        """Everything so far, once output up to that offset has come."""
        while not any(message["next"] >= until for message in output(self.said)):
            await self.hear()
        return self.said

    async def closed(self) -> tuple[int, str]:
        """How the server closes, after all it has to say: code and reason."""
        with suppress(ConnectionClosed):
            while True:
                await self.hear()
        how = self.websocket.closed
        assert how is not None
        return int(how.code), how.reason or ""

    async def cut(self) -> None:
        """Go without a word."""
        if self.stream.socket.family == socket.AF_INET:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(self.stream)


class Place(Protocol):
    """Where a server is: a `Site`, or one in a process of its own."""

    @property
    def address(self) -> tuple[str, int]: ...


Dial = Callable[[Any], Awaitable[trio.SocketStream]]


async def over_tcp(site: Place) -> trio.SocketStream:
    return await trio.open_tcp_stream(*site.address)


async def over_unix(site: Site) -> trio.SocketStream:
    return await trio.open_unix_socket(site.socket)


async def stingy(site: Place) -> trio.SocketStream:
    """Over TCP, with so little room that a server soon notices that nobody reads."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect(site.address)
    return trio.SocketStream(sock)


@asynccontextmanager
async def watch(
    site: Place,
    path: str,
    *,
    token: str | None = TOKEN,
    offer: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    dial: Dial = over_tcp,
) -> AsyncIterator[Watcher]:
    """Connect; raises ConnectionRejected if the server refuses. Cuts the connection at the end."""
    stream = await dial(site)
    authorization = [("Authorization", f"Bearer {token}")] if token is not None else []
    async with trio.open_nursery() as nursery:
        try:
            with trio.fail_after(PATIENCE_S):
                websocket = await wrap_client_stream(
                    nursery,
                    stream,
                    "{}:{}".format(*site.address),
                    path,
                    subprotocols=offer,
                    extra_headers=[
                        (name.encode(), value.encode())
                        for name, value in [*authorization, *headers]
                    ],
                )
            yield Watcher(websocket, stream)
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()


class Faucet:
    """A run that writes what the test writes, and ends when the test says so."""

    def __init__(self, site: Site, run_id: str, fds: dict[Stream, int]) -> None:
        self.run_id = run_id
        self.path = f"/runs/{run_id}/stream"
        self.size = 0
        self._site = site
        self._fds = fds

    async def write(self, stream: Stream, data: bytes) -> None:
        """Returns once it is in the log, so that the order of the streams is the test's."""
        view = memoryview(data)
        while view:
            await trio.lowlevel.wait_writable(self._fds[stream])
            written = os.write(self._fds[stream], view[: 32 * 1024])
            view = view[written:]
            self.size += written
            await wait_written(self._site, self.run_id, self.size)

    async def end(self) -> None:
        self.close()
        await self._site.ended(self.run_id)

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds = {}


@asynccontextmanager
async def faucet(site: Site, directory: Path, name: str = "faucet") -> AsyncIterator[Faucet]:
    """A run that is there to be written to."""
    paths = {stream: directory / f"{name}.{stream.label}" for stream in Stream}
    for path in paths.values():
        os.mkfifo(path)
    out, err = (f"'{paths[stream]}'" for stream in (Stream.STDOUT, Stream.STDERR))
    run_id = await site.shell(f"cat {out} & cat {err} >&2; wait")
    fds = {stream: await opened(path) for stream, path in paths.items()}
    tap = Faucet(site, run_id, fds)
    try:
        yield tap
    finally:
        tap.close()


async def opened(path: Path) -> int:
    """The writing end of a FIFO, once there is a reader."""
    with trio.fail_after(PATIENCE_S):
        fd = await trio.to_thread.run_sync(os.open, path, os.O_WRONLY)
    os.set_blocking(fd, False)
    return fd


async def wait_written(site: Site, run_id: str, size: int) -> None:
    """Return once the run's log has `size` bytes."""
    with trio.fail_after(PATIENCE_S):
        with site.supervisor.open_log(await site.supervisor.get(run_id)) as view:
            while view.reader.size < size:
                await view.changed.wait()


async def status_of(site: Site, run_id: str) -> Status:
    return (await site.supervisor.get(run_id)).status
