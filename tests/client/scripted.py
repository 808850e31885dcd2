"""A server that says what a test wants, and breaks when a test wants it to."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from supervisor import messages
from supervisor.client.address import Address, socket_address
from supervisor.client.follow import Wanted, follow
from supervisor.client.updates import End, Gap, Update
from supervisor.frames import BINARY, Output, encode_output
from supervisor.lifecycle import begin
from supervisor.model import SYSTEM, Entry, Moment, Status, Stream, Submitted
from supervisor.spec import RunSpec
from supervisor.wire import EventView, LogInfo, RunView, show_run

CHUNKS = ((Stream.STDOUT, b"one\n"), (Stream.STDERR, b"\xff\x00"), (Stream.STDOUT, b"three"))
OUT, ERR = b"one\nthree", b"\xff\x00"
SIZE = 11
RESTARTING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
ENTRY = Entry(
    "r1",
    Moment(datetime(2025, 1, 2, tzinfo=UTC), 7, "boot"),
    SYSTEM,
    Submitted(RunSpec(argv=("true",), cwd="/")),
)
Message = str | bytes


def a_run() -> RunView:
    """A run as the API shows it."""
    return show_run(begin(ENTRY, seq=1), LogInfo(SIZE, 0))


def end() -> str:
    return messages.end_message(SIZE, a_run()).decode()


def status(seq: int) -> str:
    view = EventView(seq=seq, run_seq=seq, version=1, entry=ENTRY)
    return msgspec.json.encode(messages.status_message(view, Status.QUEUED)).decode()


def log_from(start: int, seq: int = 0) -> list[Message]:
    """What a server says of the log of CHUNKS: two statuses, then each chunk, then the end."""
    said: list[Message] = [status(number) for number in (1, 2) if number > seq]
    offset = 0
    for stream, data in CHUNKS:
        rest = data[max(0, start - offset) :]
        if rest:
            said.append(encode_output(stream, offset + len(data) - len(rest), rest))
        offset += len(data)
    return [*said, end()]


class Closes(int):
    """Ends a script: the server closes with this code."""


class Cut(int):
    """The connection breaks when the server has sent so many bytes."""


Script = Sequence[Message | Closes] | Cut | bytes
"""What one connection is answered: messages, the log until a cut, or raw bytes in place of HTTP."""


class StreamServer:
    """Serves the log of CHUNKS, but to the first connections what their scripts say."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = [*scripts]
        self.asked: list[dict[str, str]] = []
        self.heads: list[dict[bytes, bytes]] = []
        self.paths: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.closed_with: list[int | None] = []

    async def handle(self, stream: trio.SocketStream) -> None:
        """One connection."""
        script = self.scripts.pop(0) if self.scripts else None
        if isinstance(script, bytes):
            async with stream:
                with suppress(trio.BrokenResourceError):
                    await stream.receive_some()
                    await stream.send_all(script)
            self.paths.append("")
            return
        below = _Breaking(stream, script) if isinstance(script, Cut) else stream
        try:
            async with trio.open_nursery() as nursery:
                await self._talk(nursery, cast("trio.SocketStream", below), script)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, ConnectionClosed):
            pass
        await trio.aclose_forcefully(stream)

    async def _talk(
        self, nursery: trio.Nursery, stream: trio.SocketStream, script: Script | None
    ) -> None:
        request = await wrap_server_stream(nursery, stream)
        address = urlsplit(request.path)
        self.paths.append(address.path)
        self.asked.append({name: value for name, (value,) in parse_qs(address.query).items()})
        self.heads.append(dict(request.headers))
        assert request.proposed_subprotocols == (BINARY,)
        ws = await request.accept(subprotocol=BINARY)
        asked = self.asked[-1]
        told = log_from(max(0, int(asked["from"])), int(asked["seq"]))
        for message in told if script is None or isinstance(script, Cut) else script:
            if isinstance(message, Closes):
                await ws.aclose(int(message))
                return
            assert isinstance(message, str | bytes)
            await ws.send_message(message)
        await self.listen(ws)

    async def listen(self, ws: WebSocketConnection) -> None:
        while True:
            try:
                self.heard.append(msgspec.json.decode(await ws.get_message()))
            except ConnectionClosed as closed:
                self.closed_with.append(None if closed.reason is None else closed.reason.code)
                return


class _Breaking(trio.abc.Stream):
    """Breaks after so many bytes."""

    def __init__(self, stream: trio.SocketStream, left: int) -> None:
        self._stream = stream
        self._left = left

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def serving(server: StreamServer) -> AsyncIterator[Address]:
    """The address of the server, on a socket without a path on disk."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("")  # the kernel chooses an abstract address, unix(7)
        sock.listen()
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock.dup()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, server.handle, [listener])
            yield socket_address(sock.getsockname().decode())
            nursery.cancel_scope.cancel()


async def collect(address: Address, start: int = 0, **more: Any) -> list[Update]:
    """All updates of the run."""
    async with follow(address, "r1", Wanted(start=start), **more) as updates:
        return [update async for update in updates]


def shown(updates: Sequence[Update]) -> tuple[bytes, bytes]:
    """What was written to stdout and to stderr; checks offsets, and that the end is the last."""
    written = {Stream.STDOUT: b"", Stream.STDERR: b""}
    pieces = [update for update in updates if isinstance(update, Output | Gap)]
    for before, after in pairwise(pieces):
        assert after.offset == before.next
    for piece in pieces:
        if isinstance(piece, Output):
            written[piece.stream] += piece.data
    assert [isinstance(update, End) for update in updates] == [*[False] * (len(updates) - 1), True]
    return written[Stream.STDOUT], written[Stream.STDERR]
