"""A Socket.IO client for tests, packet by packet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import msgspec
import trio
import trio_websocket
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection

from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, Site
from web.socketio.door import SocketIo
from web.socketio.late import LateSocketIo

SEPARATOR = "\x1e"
Said = dict[str, Any]


def sessions(site: Site) -> SocketIo:
    """What there is behind the door of a site where a client has come already."""
    door = site.app.extensions["socket.io"]
    assert isinstance(door, LateSocketIo)
    assert door._socket_io is not None
    return door._socket_io


class Polling:
    """One session over HTTP requests. `headers` go with every request, and no token by itself."""

    def __init__(self, site: Site, **headers: str) -> None:
        self._http = site.http
        self.headers = headers
        self.query: dict[str, str] = {"EIO": "4", "transport": "polling"}
        self._left: list[str] = []

    async def request(self, method: str, **more: Any) -> httpx.Response:
        request = self._http.build_request(method, "/runs/", **more)
        del request.headers["Authorization"]
        request.headers.update(self.headers)
        return await self._http.send(request)

    async def open(self, run_id: str | None, **query: str) -> Said:
        """The handshake; what it tells. Raises AssertionError if it is refused."""
        if run_id is not None:
            query["runId"] = run_id
        # The stock client, too, says it all in each request.
        self.query |= query
        answer = await self.ask()
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.text[0] == "0"
        told: Said = msgspec.json.decode(answer.text[1:])
        self.query["sid"] = told["sid"]
        return told

    async def ask(self, **query: str) -> httpx.Response:
        return await self.request("GET", params={**self.query, **query})

    async def post(self, *packets: str) -> httpx.Response:
        return await self.request(
            "POST", params=self.query, content=SEPARATOR.join(packets).encode()
        )

    async def say(self, *packets: str) -> None:
        answer = await self.post(*packets)
        assert (answer.status_code, answer.text) == (200, "ok")

    async def poll(self) -> list[str]:
        if self._left:
            left, self._left = self._left, []
            return left
        answer = await self.ask()
        assert answer.status_code == 200, answer.text
        return answer.text.split(SEPARATOR)

    async def next(self) -> str:
        """The next packet."""
        packet, *self._left = await self.poll()
        return packet

    async def connect(self, **auth: object) -> Said:
        """Socket.IO's CONNECT; the answer, whichever it is."""
        await self.say("40" + msgspec.json.encode(auth).decode())
        answer, *self._left = await self.poll()
        assert answer[:2] in {"40", "44"}
        return {"refused": answer[:2] == "44", **msgspec.json.decode(answer[2:])}

    async def rest(self) -> list[str]:
        """All packets through the CLOSE of the session."""
        packets: list[str] = []
        with trio.fail_after(PATIENCE_S):
            while "1" not in packets:
                packets += await self.poll()
        return packets

    async def told_until(self, kind: str) -> list[Said]:
        """All messages through the first of this type; those that came with it as well."""
        packets: list[str] = []
        with trio.fail_after(PATIENCE_S):
            while not any(message["type"] == kind for message in told(packets)):
                packets += await self.poll()
        return told(packets)


async def opened(site: Site, run_id: str) -> Polling:
    """A client that has a session and has not said who it is."""
    client = Polling(site)
    await client.open(run_id)
    return client


async def watching(site: Site, run_id: str, **auth: object) -> Polling:
    """A client that was let in."""
    client = await opened(site, run_id)
    answer = await client.connect(**{"token": TOKEN, **auth})
    assert not answer["refused"], answer
    return client


def told(packets: list[str]) -> list[Said]:
    """The messages among packets, each with the `place` that came with it."""
    events = [msgspec.json.decode(packet[2:]) for packet in packets if packet.startswith("42")]
    assert all(name == "run-event" for name, _message, _place in events)
    return [{**message, "place": place} for _name, message, place in events]


# --- WebSockets ----------------------------------------------------------------------------------


class Refused(Exception):
    """The handshake was answered with another status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@asynccontextmanager
async def web_socket(
    site: Site, *, origin: str | None = None, **query: str
) -> AsyncIterator[WebSocketConnection]:
    """A WebSocket of Engine.IO. Raises Refused."""
    host, port = site.address
    query = {"EIO": "4", "transport": "websocket", **query}
    path = "/runs/?" + "&".join(f"{name}={value}" for name, value in query.items())
    headers = [] if origin is None else [(b"Origin", origin.encode())]
    try:
        async with await trio.open_tcp_stream(host, port) as stream, trio.open_nursery() as nursery:
            socket = await trio_websocket.wrap_client_stream(
                nursery, stream, f"{host}:{port}", path, extra_headers=headers
            )
            async with socket:
                yield socket
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ConnectionRejected):
            raise Refused(error.status_code) from None
        raise


async def heard(socket: WebSocketConnection) -> str:
    """The next packet."""
    with trio.fail_after(PATIENCE_S):
        message = await socket.get_message()
        assert isinstance(message, str)
        return message


async def closed(socket: WebSocketConnection) -> None:
    """Return once the server has closed it."""
    with trio.fail_after(PATIENCE_S), suppress(ConnectionClosed):
        while True:
            await socket.get_message()
