"""HTTP/1.1 for one connection: Hypercorn's h11 protocol with what it lacks put right.

Hypercorn 0.18 is driven below its public API here, so its version is pinned, and `test_fence.py`
probes what depends on it. What differs from the original, and why:

* HTTP/2 is never spoken. An `Upgrade: h2c` is left unanswered, as RFC 9110 section 7.8 allows;
  a connection that begins in HTTP/2 gets 505.
* A WebSocket handshake that Hypercorn would stumble over is refused before it sees it, and
  extensions are not offered to it: compressing every message for every viewer costs more than all
  the rest, and one frame could not be shared. What follows the handshake is `wsstream`'s.
* A pause (a request while another is being answered) does not hold the reading task, which has to
  notice that the client is gone.
* The head of an answer whose length is known is sent together with the first of its body, which is
  at hand then: one write(2), and the client wakes up once.
* Handing a finished connection on to the next request waits for nothing, since the task that does
  it is being cancelled at that moment.
"""

from __future__ import annotations

import sys
from http import HTTPStatus

import h11
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol import h11 as base
from hypercorn.protocol.events import Body, Data, EndBody, Request
from hypercorn.typing import H11SendableEvent

from web.fence.wsstream import WebSocketStream
from web.problems import PROBLEM_TYPE, encode_problem, plain_problem

STREAM_ID = base.STREAM_ID
_WEBSOCKET_VERSION = b"13"
_TEXTUAL = (b"connection", b"sec-websocket-protocol", b"sec-websocket-key")


class Refusal(Exception):
    """The request is answered here, by `status` and one sentence, and the connection closed."""

    def __init__(
        self, status: HTTPStatus, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        """`headers` go into the answer."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def check_request(request: h11.Request, early: bytes) -> None:
    """Raise Refusal for what nothing behind this could answer sensibly.

    `early` are the bytes that came along with the request's head.
    """
    if request.method == b"PRI" or request.http_version >= b"2":
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1")
    if not request.target.startswith(b"/") and request.target != b"*":
        raise Refusal(HTTPStatus.BAD_REQUEST, "the request's target is not a path")
    if is_websocket(request):
        _check_handshake(request, early)


def is_websocket(request: h11.Request) -> bool:
    """Whether the client wants to go on as a WebSocket (RFC 6455 section 4.1)."""
    tokens = _header(request, b"connection").lower().split(b",")
    return (
        request.method == b"GET"
        and _header(request, b"upgrade").strip().lower() == b"websocket"
        and any(token.strip() == b"upgrade" for token in tokens)
    )


def _check_handshake(request: h11.Request, early: bytes) -> None:
    version = _header(request, b"sec-websocket-version").strip()
    if request.http_version < b"1.1":
        raise Refusal(HTTPStatus.BAD_REQUEST, "a WebSocket needs HTTP/1.1")
    if version != _WEBSOCKET_VERSION:
        raise Refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            "only version 13 of the WebSocket protocol is spoken",
            ((b"sec-websocket-version", _WEBSOCKET_VERSION), (b"upgrade", b"websocket")),
        )
    if not _header(request, b"sec-websocket-key"):
        raise Refusal(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is missing")
    if any(not _header(request, name).isascii() for name in _TEXTUAL):
        raise Refusal(HTTPStatus.BAD_REQUEST, "a header of the handshake is not ASCII")
    if _header(request, b"transfer-encoding") or _header(request, b"content-length") not in (
        b"",
        b"0",
    ):
        raise Refusal(HTTPStatus.BAD_REQUEST, "a WebSocket handshake has no body")
    if early:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the handshake is not answered yet")


def _header(request: h11.Request, wanted: bytes) -> bytes:
    """All values of a header, as one."""
    return b",".join(value for name, value in request.headers if name == wanted)


def _has_length(response: h11.Response) -> bool:
    return any(name == b"content-length" for name, _value in response.headers)


def _plain(request: h11.Request) -> h11.Request:
    """The request without an offer of WebSocket extensions."""
    if not _header(request, b"sec-websocket-extensions"):
        return request
    return h11.Request(
        method=request.method,
        target=request.target,
        http_version=request.http_version,
        headers=[
            (name, value) for name, value in request.headers if name != b"sec-websocket-extensions"
        ],
    )


class Http1(base.H11Protocol):
    """One connection's requests, one after the other."""

    _head = b""
    """Of the answer that is being given, if it waits for the body."""

    @property
    def busy(self) -> bool:
        """Whether a request is being read or answered."""
        return self.stream is not None

    @property
    def mid_request(self) -> bool:
        """Whether part of a request's head has come and the rest has not."""
        return not self.busy and self.ahead > 0

    def finish_soon(self) -> None:
        """Close the connection after the answer that is under way."""
        self.keep_alive_requests = sys.maxsize

    @property
    def ahead(self) -> int:
        """Bytes that came before their turn."""
        return len(self.connection.trailing_data[0])

    async def proceed(self) -> None:
        """Go on with bytes that came while the request before was being answered."""
        await self._handle_events()

    @property
    def websocket_open(self) -> bool:
        """Whether messages can be sent: the handshake is over, and nobody has begun to close."""
        stream = self.stream
        return isinstance(stream, WebSocketStream) and stream.is_open

    async def _create_stream(self, request: h11.Request) -> None:
        if not is_websocket(request):
            await super()._create_stream(request)
            return
        self.stream = WebSocketStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        assert isinstance(self.connection, h11.Connection)  # noqa: S101 - nothing came before
        self.connection = base.H11WSConnection(self.connection)
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii"),
                raw_path=request.target,
                state=self.connection_state,
            )
        )

    async def _handle_events(self) -> None:
        try:
            await self._events()
        except h11.RemoteProtocolError as error:
            if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                await self._refuse(
                    Refusal(HTTPStatus(error.error_status_hint), "this is not HTTP/1.1")
                )
            await self.send(Closed())
        except Refusal as refusal:
            await self._refuse(refusal)
            await self.send(Closed())

    async def _events(self) -> None:
        while True:
            if self.connection.they_are_waiting_for_100_continue:
                await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))
            event = self.connection.next_event()
            if isinstance(event, h11.Request):
                check_request(event, self.connection.trailing_data[0])
                await self.send(Updated(idle=False))
                await self._create_stream(_plain(event))
            elif self.stream is None or event in (h11.NEED_DATA, h11.PAUSED):
                return
            elif isinstance(event, h11.Data):
                await self.stream.handle(Body(stream_id=STREAM_ID, data=bytes(event.data)))
            elif isinstance(event, h11.EndOfMessage):
                await self.stream.handle(EndBody(stream_id=STREAM_ID))
            elif isinstance(event, Data):
                await self._handle_frames(event)
            else:
                return

    async def _handle_frames(self, event: Data) -> None:
        stream = self.stream
        assert isinstance(stream, WebSocketStream)  # noqa: S101 - Data comes from nothing else
        if not stream.handshake.accepted:
            # RFC 6455 section 4.1: the client waits for the answer. Nothing can be said to it in
            # the middle of an answer that the application may be giving.
            await self.send(Closed())
            return
        await stream.handle(event)

    async def _maybe_recycle(self) -> None:
        await self._close_stream()
        reusable = self.connection.our_state is h11.DONE and self.connection.their_state is h11.DONE
        if not reusable:
            await self.send(Closed())
            return
        self.connection.start_next_cycle()
        await self.send(Updated(idle=True))

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        try:
            data = self._head + (self.connection.send(event) or b"")
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        waits = isinstance(event, h11.Response) and _has_length(event)
        self._head = data if waits else b""
        if data and not waits:
            await self.send(RawData(data))

    async def _refuse(self, refusal: Refusal) -> None:
        body = encode_problem(plain_problem(refusal.status, refusal.detail))
        head = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *refusal.headers,
        ]
        await self._send_h11_event(h11.Response(status_code=refusal.status, headers=head))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
