"""The door of Socket.IO: the transports of Engine.IO 4, HTTP requests and WebSockets.

A client calls `/runs/` with a trailing slash of its own. It begins with a request that is answered
with its session's name; then one request at a time waits for what it is told, and others bring what
it says. It may change to a WebSocket, or begin with one. See docs/socket-io.md.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType

import msgspec
import trio
from msgspec import Struct
from quart import Request, Response, Websocket
from quart.wrappers.response import ResponseBody

from supervisor.config.settings import WebSettings
from supervisor.errors import BadRequest
from supervisor.service import Supervisor
from web.api.call import decode_query
from web.auth.auth import Auth
from web.door import (
    asking_request,
    asking_websocket,
    check_host,
    check_origin,
    connection_of,
    own_names,
    peer_of,
)
from web.fence.firewall import firewall
from web.problems import HttpProblem
from web.shutdown import Shutdown
from web.socketio.engineio import Session
from web.socketio.packets import (
    MAX_PAYLOAD_BYTES,
    PROBE,
    PROBED,
    Kind,
    Packet,
    decode_packet,
    decode_payload,
    encode_packet,
    encode_payload,
)
from web.socketio.runevents import Asking, RunEvents
from web.streams.conversation import NORMAL
from web.streams.stream import StreamQuery

_UPGRADE_WAIT_S = 10.0
_TEXT = "text/plain; charset=UTF-8"


class Address(Struct, frozen=True, kw_only=True):
    """What may stand in the address, with whatever else a front end puts there.

    Those of a stream count in a session's first request only.
    """

    version: str | None = msgspec.field(name="EIO", default=None)
    transport: str | None = None
    sid: str | None = None
    run_id: str | None = msgspec.field(name="runId", default=None)
    token: str | None = None
    from_: int = msgspec.field(name="from", default=0)
    streams: tuple[str, ...] = ()
    window: int | None = None
    seq: int = 0

    @property
    def stream(self) -> StreamQuery:
        """What is asked for."""
        return StreamQuery(
            from_=self.from_,
            streams=self.streams,
            window=self.window,
            seq=self.seq,
            token=self.token,
            run_id=self.run_id,
        )


class Name(Struct, frozen=True):
    """What a session is found by: whoever knows its `sid` alone, from some log, finds nothing.

    The others are the header and the token in the address that the first request came with.
    """

    sid: str
    authorization: str | None
    token: str | None


class SocketIo:
    """All sessions of an application."""

    def __init__(
        self,
        supervisor: Supervisor,
        settings: WebSettings,
        auth: Auth,
        shutdown: Shutdown,
        nursery: trio.Nursery,
    ) -> None:
        """Sessions live in `nursery`, since none of their requests lasts as long as they do."""
        self._limits = settings.limits
        self._names = own_names(settings)
        self._origins = settings.cors_origins
        self._run_events = RunEvents(supervisor, auth, shutdown)
        self._shutdown = shutdown
        self._nursery = nursery
        self._sessions: dict[Name, Session] = {}
        self._of_peer: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    async def http(self) -> Response:
        """A polling client's requests."""
        asked = asking_request()
        address = _address(asked, "polling")
        check_origin(asked, self._origins)
        if address.sid is not None:
            session = self._find(_name(address.sid, asked, address))
        elif asked.method == "GET":
            session = self._open(asked, address, websocket=False)
        else:
            raise BadRequest("a session begins with GET")
        if asked.method == "GET":
            return await _poll(session)
        await _take_in(session, asked)
        return Response("ok", content_type=_TEXT)

    async def websocket(self) -> None:
        """A client that begins with a WebSocket, or changes to one."""
        socket = asking_websocket()
        check_host(socket, self._names)
        address = _address(socket, "websocket")
        check_origin(socket, self._origins)
        if address.sid is None:
            session = self._open(socket, address, websocket=True)
        else:
            session = self._find(_name(address.sid, socket, address))
            if session.probed:
                raise BadRequest("this session is changing to another WebSocket")
        if session.websocket or await self._upgrade(socket, session):
            await self._carry(socket, session)

    # --- sessions --------------------------------------------------------------------------------

    def _find(self, name: Name) -> Session:
        session = self._sessions.get(name)
        if session is None or session.websocket:
            raise BadRequest("there is no such session, or it has a WebSocket")
        return session

    def _open(self, asked: Request | Websocket, address: Address, *, websocket: bool) -> Session:
        peer = peer_of(asked)
        if (
            len(self._sessions) >= self._limits.max_connections
            or self._of_peer[peer.key] >= self._limits.max_connections_per_address
        ):
            raise HttpProblem(HTTPStatus.TOO_MANY_REQUESTS, "there are too many connections")
        session = Session(websocket=websocket)
        name = _name(session.sid, asked, address)
        self._sessions[name] = session
        self._of_peer[peer.key] += 1
        asking = Asking(peer=peer, query=address.stream, authorization=name.authorization)
        self._nursery.start_soon(self._run, name, session, asking)
        return session

    async def _run(self, name: Name, session: Session, asking: Asking) -> None:
        """One session, from the first request to the end."""
        try:
            with firewall(f"Socket.IO session of {asking.peer}"):
                await session.run(functools.partial(self._run_events.serve, asking=asking))
        finally:
            del self._sessions[name]
            self._of_peer[asking.peer.key] -= 1
            if not self._of_peer[asking.peer.key]:
                del self._of_peer[asking.peer.key]

    # --- WebSockets ------------------------------------------------------------------------------

    async def _upgrade(self, socket: Websocket, session: Session) -> bool:
        """Have a polling client change over, if it goes through with that."""
        with session.probing(), trio.move_on_after(_UPGRADE_WAIT_S), suppress(BadRequest):
            await socket.accept()
            if await _next_packet(socket) == PROBE:
                await socket.send(encode_packet(PROBED))
                changed = (await _next_packet(socket)).kind is Kind.UPGRADE
                if changed and not session.websocket:
                    session.websocket = True
                    return True
        await socket.close(NORMAL)
        return False

    async def _carry(self, socket: Websocket, session: Session) -> None:
        """Be the transport of a session for the rest of its life."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, socket, session)
            try:
                await _speak(socket, session)
            finally:
                session.close()
            nursery.cancel_scope.cancel()
        with trio.move_on_after(1):
            await socket.close(self._shutdown.close_code if self._shutdown.is_set() else NORMAL)
            return
        connection_of(socket).abort()


async def _speak(socket: Websocket, session: Session) -> None:
    """Send what the session says, until it ends."""
    await socket.accept()
    while (packet := await session.take()) is not None and packet.kind is not Kind.CLOSE:
        with session.delivering():
            await socket.send(encode_packet(packet))


async def _listen(socket: Websocket, session: Session) -> None:
    """Hand on what the client says, until it says what makes no sense."""
    try:
        while True:
            await session.hear(await _next_packet(socket))
    except BadRequest:
        session.close()


async def _next_packet(socket: Websocket) -> Packet:
    return decode_packet(await socket.receive())


# --- polling -------------------------------------------------------------------------------------


async def _poll(session: Session) -> Response:
    """All that there is to say, as soon as there is something."""
    try:
        packets = await session.poll()
    except BaseException:
        session.close()
        raise
    body = encode_payload(packets)
    response = Response(_Delivery(session, body), content_type=_TEXT)
    response.headers["Content-Length"] = str(len(body))
    return response


class _Delivery(ResponseBody):
    """A body whose session is told whether the connection took it."""

    def __init__(self, session: Session, body: bytes) -> None:
        self._delivering = session.delivering()
        self._parts = _parts(body)

    async def __aenter__(self) -> AsyncIterator[bytes]:
        self._delivering.__enter__()
        return self._parts

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._delivering.__exit__(kind, error, trace)
        await self._parts.aclose()


async def _parts(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _take_in(session: Session, asked: Request) -> None:
    """What the client says, in the body. Whoever says what makes no sense is left."""
    try:
        for packet in decode_payload(await _body(asked)):
            await session.hear(packet)
    except (BadRequest, HttpProblem):
        session.close()
        raise


async def _body(asked: Request) -> bytes:
    # One that comes in chunks does not say how long it is.
    if (asked.content_length or 0) <= MAX_PAYLOAD_BYTES:
        body = await asked.get_data()
        assert isinstance(body, bytes)  # noqa: S101 - no text was asked for
        if len(body) <= MAX_PAYLOAD_BYTES:
            return body
    raise HttpProblem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {MAX_PAYLOAD_BYTES} bytes"
    )


def _name(sid: str, asked: Request | Websocket, address: Address) -> Name:
    return Name(sid, asked.headers.get("Authorization"), address.token)


def _address(asked: Request | Websocket, transport: str) -> Address:
    """The query. Raises HttpProblem 404 for whoever is no Socket.IO client, and BadRequest."""
    address = decode_query(asked.args.to_dict(flat=False), Address)
    if address.version is None:
        raise HttpProblem(
            HTTPStatus.NOT_FOUND, "there is nothing at this path but for Socket.IO clients"
        )
    if address.version != "4":
        raise BadRequest("only version 4 of Engine.IO is spoken, as by socket.io-client 3 and 4")
    if address.transport != transport:
        raise BadRequest(f"this is how the transport {transport} is spoken to, and no other")
    return address
