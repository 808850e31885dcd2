"""Follows a run's log to the run's end, across broken connections and restarts of the server.

The cursor is the offset after the last frame that came whole. Whatever breaks, the next
connection asks from there, so that no byte is lost or doubled.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing

import h11
import trio

from supervisor.client.address import Address, target
from supervisor.client.api import run_path, unreachable
from supervisor.client.refusal import refusal
from supervisor.errors import RunwireError, ServerUnreachable, Unavailable
from supervisor.frames import MEDIA_TYPE, Frame, FrameDecoder

PATIENCE_S = 60.0
_SILENCE_S = 60.0
_CONNECT_S = 10.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_RECEIVE_BYTES = 256 * 1024


async def follow(
    address: Address,
    run_id: str,
    start: int = 0,
    *,
    stream: str | None = None,
    patience_s: float = PATIENCE_S,
) -> AsyncGenerator[Frame, None]:
    """The frames of a run's log from offset `start`, waiting for more until the end frame.

    `start` may be negative: that many bytes before the end, from the beginning of a line. With
    `stream` (`stdout` or `stderr`) only that stream's frames come. Use it inside `aclosing`.

    Raises what the server refuses with, such as NoSuchRun or Forbidden, and ServerUnreachable
    if the server cannot be reached for `patience_s`, in spite of trying again and again.
    """
    cursor = start
    outage = _Outage(patience_s)
    while True:
        decoder = FrameDecoder()
        try:
            async with aclosing(_body(address, _path(address, run_id, cursor, stream))) as pieces:
                async for piece in pieces:
                    outage.answered()
                    for frame in decoder.feed(piece):
                        outage.over()
                        yield frame
                        cursor = frame.next
                    if decoder.ended:
                        return
            broken = ServerUnreachable(f"{address.shown} ended the stream before its end")
        except (ServerUnreachable, Unavailable) as exc:
            broken = ServerUnreachable(exc.message)
        if outage.too_long():
            read = f"run {run_id} may go on; its log was read to offset {cursor}"
            raise ServerUnreachable(f"{broken.message}; {read}")
        await trio.sleep(outage.pause_s())


class _Outage:
    """For how long the server has not been there, and when to try again."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def answered(self) -> None:
        """The server is there, even if it has nothing to say."""
        self._since = None

    def over(self) -> None:
        """The server does its work."""
        self._pause_s = _FIRST_PAUSE_S

    def too_long(self) -> bool:
        """True once there was no answer for longer than the patience."""
        self._since = trio.current_time() if self._since is None else self._since
        return trio.current_time() - self._since >= self._patience_s

    def pause_s(self) -> float:
        """The time to the next try, longer each time."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return pause_s


def _path(address: Address, run_id: str, start: int, stream: str | None) -> str:
    query: dict[str, str | list[str]] = {"follow": "1", "from": str(start)}
    if stream is not None:
        query["stream"] = stream
    return target(address, run_path(run_id, "/log"), query)


async def _body(address: Address, path: str) -> AsyncGenerator[bytes, None]:
    """The body of the answer to a GET in pieces: an empty one as soon as the server answered, then
    as they come. Raises what the server refuses with, and ServerUnreachable if it breaks.
    """
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="GET", target=path, headers=list(address.headers(MEDIA_TYPE).items())
    )
    try:
        async with await _connect(address) as stream:
            await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
            status = await _status(connection, stream)
            if status < 300:
                yield b""
            refused = b""
            while isinstance(event := await _event(connection, stream), h11.Data):
                if status < 300:
                    yield bytes(event.data)
                else:
                    refused += event.data
    except (OSError, trio.BrokenResourceError, trio.TooSlowError, h11.ProtocolError) as exc:
        raise _unreachable(address, exc) from exc
    if status >= 300:
        raise refusal(status, refused)


async def _connect(address: Address) -> trio.abc.Stream:
    with trio.fail_after(_CONNECT_S):
        if address.socket is not None:
            return await trio.open_unix_socket(address.socket)
        if address.scheme == "https":
            context = ssl.create_default_context()
            return await trio.open_ssl_over_tcp_stream(
                address.host, address.port, https_compatible=True, ssl_context=context
            )
        return await trio.open_tcp_stream(address.host, address.port)


async def _status(connection: h11.Connection, stream: trio.abc.Stream) -> int:
    while not isinstance(event := await _event(connection, stream), h11.Response):
        pass  # an informational answer comes before the answer
    return event.status_code


async def _event(connection: h11.Connection, stream: trio.abc.Stream) -> h11.Event:
    """The next event. A server sends heartbeats, so one that is silent for long is gone."""
    while not isinstance(event := connection.next_event(), h11.Event):
        with trio.fail_after(_SILENCE_S):
            data = await stream.receive_some(_RECEIVE_BYTES)
        if not data and connection.their_state is h11.SEND_RESPONSE:
            raise trio.BrokenResourceError("the server closed the connection without an answer")
        connection.receive_data(bytes(data))
    return event


def _unreachable(address: Address, exc: Exception) -> RunwireError:
    return unreachable(address, TimeoutError() if isinstance(exc, trio.TooSlowError) else exc)
