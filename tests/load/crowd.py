"""Viewers that cost next to nothing, so that there can be very many: a socket and a few numbers."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from supervisor.client.address import socket_address
from supervisor.client.api import Client
from supervisor.wire import SubmitRequest
from tests.cli.conftest import Server

TOKEN = "devtoken"
PATIENCE_S = 120.0
LIMITS = (
    "max_running = 250\n[web.limits]\nmax_connections = 4096\nmax_connections_per_address = 4096"
)


class Gate:
    """Runs that wait for all of their viewers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._path = server.directory / "gate"
        os.mkfifo(self._path)
        self._fd = os.open(self._path, os.O_RDWR)
        self._client = Client(socket_address(server.socket))

    def submit(self, line: str) -> str:
        waiting = f"read _ < '{self._path}'; {line}"
        return self._client.submit(SubmitRequest(shell=waiting, cwd="/")).value.id

    def open(self) -> None:
        """For all who wait, and who are yet to come to it."""
        os.write(self._fd, b"\n" * 1000)

    def close(self) -> None:
        os.close(self._fd)


class Light:
    """A viewer that takes what comes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.text: list[str] = []
        self.at = 0
        self._left = b""

    async def all(self) -> str:
        """What the run wrote, once `end` was told. Every message goes on where the last ended."""
        while True:
            message = await self.message()
            if message["type"] == "end":
                assert message["offset"] == self.at
                return "".join(self.text)

    async def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._frame())
        if message["type"] in {"stdout", "stderr"}:
            assert message["offset"] == self.at
            self.at = message["next"]
            self.text.append(message["data"])
        return message

    async def say(self, text: str) -> None:
        """A text message, masked with zeros (RFC 6455 section 5.3)."""
        data = text.encode()
        assert len(data) < 126
        await self.stream.send_all(bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data)

    async def closed(self) -> int:
        """The code with which the server closes, whatever it says before."""
        while True:
            data = await self._frame()
            if data[:1] != b"{":
                return int.from_bytes(data[:2], "big")

    async def _frame(self) -> bytes:
        size = (await self._take(2))[1]
        if size == 126:
            (size,) = struct.unpack(">H", await self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self._take(8))
        return await self._take(size)

    async def _take(self, count: int) -> bytes:
        with trio.fail_after(PATIENCE_S):
            while len(self._left) < count:
                more = await self.stream.receive_some(256 * 1024)
                assert more, "the server closed the connection"
                self._left += more
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    async def handshake(self, server: Server, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {_address(server)[0]}:{_address(server)[1]}\r\n"
            f"Authorization: Bearer {TOKEN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        await self.stream.send_all(head.encode())
        with trio.fail_after(PATIENCE_S):
            while b"\r\n\r\n" not in self._left:
                more = await self.stream.receive_some(65536)
                assert more, "the server closed the connection"
                self._left += more
        head_, _, self._left = self._left.partition(b"\r\n\r\n")
        assert head_.startswith(b"HTTP/1.1 101"), head_


def _address(server: Server) -> tuple[str, int]:
    url = httpx.URL(server.url)
    return url.host, url.port or 0


@asynccontextmanager
async def viewer(
    server: Server, run_id: str, query: str = "", *, room: int | None = None
) -> AsyncIterator[Light]:
    """Somebody who watches a run; with so little `room` that a server soon has to wait for it."""
    sock = trio.socket.socket()
    if room is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    await sock.connect(_address(server))
    light = Light(trio.SocketStream(sock))
    try:
        await light.handshake(server, f"/runs/{run_id}/stream{query}")
        yield light
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(light.stream)


def memory_kib(server: Server) -> int:
    """What the server has in RAM."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def descriptors(server: Server) -> list[Path]:
    assert server.process is not None
    return list(Path(f"/proc/{server.process.pid}/fd").iterdir())
