"""Opens a run's stream at a server, over TCP, TLS or its Unix socket, with trio-websocket.

Everything that can go wrong with a connection becomes an error of ours here. `Unavailable` and
`ServerUnreachable` are worth another try; the rest is the server's last word.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import msgspec
import trio
from msgspec import Struct
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)
from wsproto.utilities import LocalProtocolError

from supervisor.client.address import Address
from supervisor.client.api import ConnectionBroke, unreachable
from supervisor.client.refusal import refusal
from supervisor.client.updates import Refusal, Update, decode_message
from supervisor.errors import (
    BadRequest,
    Forbidden,
    NoSuchRun,
    ProtocolError,
    RunwireError,
    Unauthenticated,
    Unavailable,
)
from supervisor.frames import BINARY
from supervisor.units import KIB, MIB

CONNECT_S = 10.0
SILENCE_S = 50.0
"""A server says something every 20 seconds; one that says nothing for so long is gone."""
_CLOSE_S = 2.0
_ANSWER = b"HTTP/1."
_RECEIVE_BYTES = 256 * KIB
# A byte at a time from both streams in turn: each is a frame of its own.
_MAX_MESSAGE_BYTES = 16 * MIB
_BY_CLOSE_CODE: dict[int, type[RunwireError]] = {
    1009: ProtocolError,
    4400: BadRequest,
    4401: Unauthenticated,
    4403: Forbidden,
    4404: NoSuchRun,
    4409: ProtocolError,
    4429: Unavailable,
}


class Line:
    """An open stream, as `open_line` gives it."""

    def __init__(
        self, socket: WebSocketConnection, wire: _Wire, address: Address, nursery: trio.Nursery
    ) -> None:
        """`wire` is what `socket` goes over, `address` where it leads to."""
        self.nursery = nursery
        """For what is to be done as long as the line is open; its errors end the line."""
        self._socket = socket
        self._wire = wire
        self._address = address
        self._refusal: Refusal | None = None

    async def receive(self) -> list[Update]:
        """What the server says next; nothing at times. See the module for what is raised."""
        asked_at = trio.current_time()
        while True:
            silent_at = max(asked_at, self._wire.heard_at) + SILENCE_S
            with trio.move_on_at(silent_at):
                try:
                    told = decode_message(await self._socket.get_message())
                except ConnectionClosed as closed:
                    raise self._ended(closed) from closed
                return list(self._updates(told))
            if trio.current_time() >= max(asked_at, self._wire.heard_at) + SILENCE_S:
                raise ConnectionBroke(f"{self._address.shown} was silent for {SILENCE_S:g} s")

    def _updates(self, told: Sequence[Update | Refusal]) -> Iterator[Update]:
        for each in told:
            if isinstance(each, Refusal):
                self._refusal = each
            else:
                yield each

    async def say(self, message: Struct) -> None:
        """Tells the server something. Raises ConnectionBroke if it does not take it."""
        try:
            with trio.fail_after(SILENCE_S):
                await self._socket.send_message(msgspec.json.encode(message).decode())
        except (ConnectionClosed, trio.TooSlowError) as exc:
            raise ConnectionBroke(f"the connection to {self._address.shown} broke") from exc

    async def close(self) -> None:
        """Ends it as the protocol wants it; what the server still has to say is not waited for."""
        with trio.move_on_after(_CLOSE_S):
            await self._socket.aclose()

    def _ended(self, closed: ConnectionClosed) -> RunwireError:
        """What it means that the server closed the connection."""
        code = 1006 if closed.reason is None else closed.reason.code
        kind = _BY_CLOSE_CODE.get(code, ConnectionBroke)
        if self._refusal is not None:
            return kind(self._refusal.message)
        return kind(f"{self._address.shown} ended the stream before its end (code {code})")


@asynccontextmanager
async def open_line(address: Address, path: str) -> AsyncIterator[Line]:
    """A stream at `path`, a request target with its query, with the token that `address` has.

    What is raised inside comes out as it is. What trio-websocket's tasks raise becomes an error
    of ours.
    """
    try:
        wire = _Wire(await _connect(address), address)
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as exc:
        raise _unreachable(address, exc) from exc
    try:
        async with trio.open_nursery() as nursery:
            socket = await _shake_hands(nursery, wire, address, path)
            yield Line(socket, wire, address, nursery)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = _error_in(address, group)
        if error is None:
            raise
        raise error from error.__cause__
    finally:
        await trio.aclose_forcefully(wire.inner)


async def _connect(address: Address) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    with trio.fail_after(CONNECT_S):
        if address.socket is not None:
            return await trio.open_unix_socket(address.socket)
        if address.scheme == "https":
            return await _connect_tls(address)
        return await trio.open_tcp_stream(address.host, address.port)


async def _connect_tls(address: Address) -> trio.SSLStream[trio.SocketStream]:
    context = ssl.create_default_context()
    stream = await trio.open_ssl_over_tcp_stream(
        address.host, address.port, https_compatible=True, ssl_context=context
    )
    try:
        await stream.do_handshake()
    except BaseException as exc:
        await trio.aclose_forcefully(stream)
        why = exc.__cause__
        if isinstance(exc, trio.BrokenResourceError) and isinstance(why, ssl.SSLError):
            raise ProtocolError(f"{address.shown} cannot be trusted: {why}") from exc
        raise
    return stream


async def _shake_hands(
    nursery: trio.Nursery, wire: _Wire, address: Address, path: str
) -> WebSocketConnection:
    """The WebSocket that the server accepts (RFC 6455 section 4)."""
    given = address.headers()
    with trio.move_on_after(CONNECT_S):
        socket = await wrap_client_stream(
            nursery,
            cast("trio.SocketStream", wire),
            address.netloc,
            path,
            subprotocols=[BINARY],
            extra_headers=[
                (name.encode(), given[name].encode())
                for name in ("User-Agent", "Authorization")
                if name in given
            ],
            max_message_size=_MAX_MESSAGE_BYTES,
            receive_buffer_size=_RECEIVE_BYTES,
        )
        wire.opened = True
        if socket.subprotocol != BINARY:
            raise ProtocolError(f"{address.shown} does not speak the protocol {BINARY}")
        return socket
    raise ConnectionBroke(_unreachable(address, TimeoutError()).message)


class _Wire(trio.abc.Stream):
    """The stream below a WebSocket, which knows when it brought something last.

    trio-websocket's handshake waits for ever if the server leaves in the middle of it, or says
    what is no HTTP; here its reader is given an error instead.
    """

    def __init__(
        self, inner: trio.SocketStream | trio.SSLStream[trio.SocketStream], address: Address
    ) -> None:
        self.inner = inner
        self.heard_at = trio.current_time()
        self.opened = False
        self._looks_right = False
        self._address = address

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self.inner.send_all(data)
        except trio.BrokenResourceError:
            if self.opened:
                raise
            raise self._unanswered() from None

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self.inner.receive_some(max_bytes)
        except trio.BrokenResourceError:
            if self.opened:
                raise
            data = b""
        if not data and not self.opened:
            raise self._unanswered()
        if not self._looks_right and not data.startswith(_ANSWER[: len(data)]):
            raise _stranger(self._address)
        self._looks_right = True
        self.heard_at = trio.current_time()
        return data

    async def aclose(self) -> None:
        if not self.opened:
            raise _stranger(self._address)
        await self.inner.aclose()

    def _unanswered(self) -> ConnectionBroke:
        return ConnectionBroke(f"{self._address.shown} ended the connection without an answer")


def _error_in(address: Address, group: BaseExceptionGroup) -> BaseException | None:
    """The one error that a connection's tasks ended with; None if there are several."""
    leaves = [*_leaves(group)]
    if len(leaves) == 1:
        return _converted(address, leaves[0]) or leaves[0]
    errors = [error for leaf in leaves if (error := _converted(address, leaf)) is not None]
    if len(errors) < len(leaves):
        return None
    # What the server's last word was counts more than that the connection broke of it.
    return min(errors, key=lambda error: isinstance(error, ConnectionBroke))


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for each in exc.exceptions:
            yield from _leaves(each)
    else:
        yield exc


def _converted(address: Address, exc: BaseException) -> RunwireError | None:
    match exc:
        case RunwireError():
            return exc
        case ConnectionRejected():
            return refusal(exc.status_code, exc.body or b"")
        case LocalProtocolError():
            return _stranger(address)
        case ConnectionClosed() | OSError() | trio.BrokenResourceError():
            return ConnectionBroke(f"the connection to {address.shown} broke")
    return None


def _stranger(address: Address) -> ProtocolError:
    return ProtocolError(f"what answers at {address.shown} is not Runwire")


def _unreachable(address: Address, exc: Exception) -> RunwireError:
    return unreachable(address, TimeoutError() if isinstance(exc, trio.TooSlowError) else exc)
