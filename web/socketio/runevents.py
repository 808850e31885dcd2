"""A run's stream as Socket.IO events: one client, from CONNECT to the end.

What the client is told is `stream`'s, message by message; each becomes one `run-event`. With every
event goes the place where a client that has it goes on, in the way of Socket.IO's "connection state
recovery": the stock client keeps the newest, shows it when it comes again, and misses nothing.
"""

from __future__ import annotations

import logging
import re
import secrets
from contextlib import suppress
from typing import Annotated

import msgspec
import trio
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from supervisor.access.claims import Claims
from supervisor.errors import BadRequest, BadValue, RunwireError
from supervisor.messages import PING
from supervisor.service import Supervisor
from web.api.call import check_run_id, decode_body
from web.auth.auth import Auth, bearer_token
from web.fence.peer import Peer
from web.shutdown import Shutdown
from web.socketio import packets
from web.socketio.engineio import Session
from web.socketio.packets import Said, Verb
from web.streams.batches import Batches
from web.streams.conversation import END_WAIT_S, HELLO_WAIT_S, Conversation
from web.streams.message import Message
from web.streams.stream import StreamQuery, may_watch, read_wish, stream_run
from web.streams.viewer import Wish

EVENT = "run-event"
COME_BACK_CODES = frozenset({1001, 1011, 1012, 4408, 4429, 4430})
"""The close codes after which a client is to connect again: it does unless told to disconnect."""

_PLACE = re.compile(r"(-?[0-9]{1,19})\.([0-9]{1,19})", re.ASCII)
_SID_BYTES = 15

_log = logging.getLogger("runwire.web")


class Asking(Struct, frozen=True, kw_only=True):
    """Who opened the connection, and what the address and the headers said."""

    peer: Peer
    query: StreamQuery
    authorization: str | None = None


class Connect(Struct, frozen=True, kw_only=True):
    """The `auth` that a client connects with; what is not ours in it does not matter.

    What is given here counts, and what is not is as the query says. `pid` and `offset` are of the
    client's own making: `pid` of its last connection, and the place that came with the last event.
    """

    token: str | None = None
    from_: int | UnsetType = msgspec.field(name="from", default=UNSET)
    streams: Annotated[tuple[str, ...], Meta(max_length=8)] | str | UnsetType = UNSET
    window: int | UnsetType | None = UNSET
    seq: int | UnsetType = UNSET
    pid: str | None = None
    offset: str | None = None


class Place(Struct, frozen=True):
    """Where a client is: everything before `offset` was told, and the statuses up to `seq`."""

    offset: int
    seq: int

    def __str__(self) -> str:
        """As it goes with an event."""
        return f"{self.offset}.{self.seq}"

    def after(self, message: str) -> Place:
        """Where a client is that was told `message` too."""
        told = _decode_told(message)
        match told.type:
            case "status":
                return Place(self.offset, max(self.seq, told.seq))
            case "stdout" | "stderr":
                return Place(told.next, self.seq)
            case "gap":
                return Place(told.to, self.seq)
            case "seek":
                return Place(told.from_, self.seq)
        return self


class _Told(Struct, frozen=True):
    """What of a message moves the place."""

    type: str
    seq: int = 0
    next: int = 0
    to: int = 0
    from_: int = msgspec.field(name="from", default=0)


_decode_told = msgspec.json.Decoder(_Told).decode


class RunEvents:
    """What happens on connections of Socket.IO."""

    def __init__(self, supervisor: Supervisor, auth: Auth, shutdown: Shutdown) -> None:
        """Streams end when `shutdown` is set."""
        self._supervisor = supervisor
        self._auth = auth
        self._shutdown = shutdown
        self._batches = Batches()

    async def serve(self, session: Session, asking: Asking) -> None:
        """Everything between one client and us. A client that says nonsense first is left."""
        said = None
        with trio.move_on_after(HELLO_WAIT_S), suppress(BadRequest):
            said = packets.decode_said(await session.listen())
        if said is None or said.verb is not Verb.CONNECT or self._shutdown.is_set():
            return
        try:
            viewing = await self._admit(asking, said)
        except RunwireError as error:
            await session.say(packets.refused(said.namespace, error.message, error.code))
            await trio.sleep(END_WAIT_S)
        else:
            await session.say(packets.connected(secrets.token_urlsafe(_SID_BYTES), viewing.pid))
            await self._stream(EventLine(session, asking.peer, viewing.place), viewing)

    async def _admit(self, asking: Asking, said: Said) -> Viewing:
        """What the client is to see. Raises the RunwireError that keeps it from that."""
        if said.namespace != packets.ROOT:
            raise BadValue("there is no other namespace than /", field="namespace")
        if asking.query.run_id is None:
            raise BadValue("runId has to be in the query", field="runId")
        connect = decode_body(said.data or b"{}", Connect)
        run_id = check_run_id(asking.query.run_id)
        claims = await self._claims(asking, connect.token, run_id)
        run = await self._supervisor.get(run_id)
        may_watch(claims, run)
        wish = _wish(asking.query, connect)
        pid = f"{run.seq}-{run.id}"
        if connect.pid == pid and connect.offset is not None:
            place = read_place(connect.offset)
            wish = structs.replace(wish, start=place.offset, seq=place.seq)
        return Viewing(run_id, claims, wish, pid)

    async def _claims(self, asking: Asking, token: str | None, run_id: str) -> Claims:
        """Who is asking: as `auth` says, else the header, else the address. Raises Denied."""
        given = bearer_token(asking.authorization) if token is None else token
        in_url = given is None and asking.query.token is not None
        return await self._auth.claims_of(
            asking.peer,
            asking.query.token if in_url else given,
            stream_of=run_id,
            in_url=in_url,
        )

    async def _stream(self, line: EventLine, viewing: Viewing) -> None:
        conversation = Conversation(line, self._auth, viewing.claims, self._shutdown)
        try:
            await conversation.hold(
                lambda said: stream_run(
                    said, self._supervisor, viewing.run_id, viewing.wish, self._batches
                )
            )
        except Exception:  # noqa: BLE001 - a bug in one conversation is no reason to end another
            _log.exception("the Socket.IO stream of %s failed", viewing.run_id)
            await conversation.close_after_bug()


class Viewing(Struct, frozen=True):
    """What a client that was let in is going to see. `pid` names it, for when it comes again."""

    run_id: str
    claims: Claims
    wish: Wish
    pid: str

    @property
    def place(self) -> Place:
        """Where the client is before the first message."""
        return Place(self.wish.start, self.wish.seq)


def _wish(query: StreamQuery, connect: Connect) -> Wish:
    given = {
        name: value
        for name in ("from_", "streams", "window", "seq")
        if (value := getattr(connect, name)) is not UNSET
    }
    if isinstance(streams := given.get("streams"), str):
        given["streams"] = (streams,)
    return read_wish(structs.replace(query, **given))


def read_place(text: str) -> Place:
    """What `Place` writes. Raises BadValue."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise BadValue("this offset did not come with an event", field="offset")
    return Place(int(found[1]), int(found[2]))


class EventLine:
    """A client that connected, as a line for a conversation."""

    subprotocol = None
    untaken = 0
    """Not known: what was said may wait for the client to ask."""

    def __init__(self, session: Session, peer: Peer, place: Place) -> None:
        """`place` is where the client is."""
        self.peer = peer
        self._session = session
        self._place = place

    async def receive(self) -> str:
        """The next message that the client sends as a `run-event`."""
        while True:
            said = packets.decode_said(await self._session.listen())
            match said.verb:
                case Verb.EVENT:
                    name, arguments = packets.decode_event(said)
                    if name == EVENT and arguments:
                        if said.id is not None:
                            await self._session.say(packets.received(said.id))
                        return bytes(arguments[0]).decode()
                case Verb.DISCONNECT:
                    self._session.close()
                case Verb.ACK:
                    pass
                case _:
                    raise BadRequest("this packet of Socket.IO makes no sense here")

    async def send(self, message: Message) -> None:
        """Say `message` as a `run-event`; Engine.IO has a ping of its own."""
        text = message.text
        if text != PING.decode():
            self._place = self._place.after(text)
            await self._session.say(packets.event(EVENT, text, str(self._place)))

    def send_now(self, message: Message) -> bool:
        """Never: what is said here takes its turn."""
        del message
        return False

    async def close(self, code: int, reason: str = "") -> None:
        """Have the client go away, unless it is to come back."""
        del reason
        if code not in COME_BACK_CODES:
            await self._session.say(packets.disconnect())

    def abort(self) -> None:
        """End it now."""
        self._session.close()
