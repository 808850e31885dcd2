"""The packets of Socket.IO (protocol 5) and of Engine.IO (protocol 4) below it. Pure: text and values.

Engine.IO carries messages over whatever transport there is; a Socket.IO packet is the text of one
such message. Only what is text is spoken here: nothing that we say or hear is binary.
"""

from __future__ import annotations

import enum
import re

import msgspec
from msgspec import Struct

from supervisor.errors import BadRequest

_SEPARATOR = "\x1e"


class Kind(enum.StrEnum):
    """What an Engine.IO packet is for."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


_KINDS = {kind.value: kind for kind in Kind}

PROBE = Kind.PING + "probe"
PROBED = Kind.PONG + "probe"


class Packet(Struct, frozen=True):
    """One Engine.IO packet; `data` is empty for most kinds."""

    kind: Kind
    data: str = ""


class Handshake(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the first packet of a connection tells the client; times are milliseconds."""

    sid: str
    upgrades: tuple[str, ...]
    ping_interval: int
    ping_timeout: int
    max_payload: int


def open_packet(handshake: Handshake) -> str:
    """The first packet."""
    return Kind.OPEN + msgspec.json.encode(handshake).decode()


def decode_packet(text: str | bytes) -> Packet:
    """One packet, as a WebSocket message holds it. Raises BadRequest."""
    if isinstance(text, bytes):
        raise BadRequest("binary packets are not spoken here")
    kind = _KINDS.get(text[:1])
    if kind is None:
        raise BadRequest("this is not a packet of Engine.IO 4")
    return Packet(kind, text[1:])


def decode_payload(body: bytes) -> list[Packet]:
    """The packets in the body of a request. Raises BadRequest."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error
    return [decode_packet(part) for part in text.split(_SEPARATOR)]


def encode_payload(packets: list[str]) -> bytes:
    """Packets as the body of an answer."""
    return _SEPARATOR.join(packets).encode()


# --- Socket.IO ---------------------------------------------------------------------------------


class Verb(enum.StrEnum):
    """What a Socket.IO packet is for."""

    CONNECT = "0"
    DISCONNECT = "1"
    EVENT = "2"
    ACK = "3"
    CONNECT_ERROR = "4"
    BINARY_EVENT = "5"
    BINARY_ACK = "6"


_VERBS = {verb.value: verb for verb in Verb}
# type, number of attachments, namespace (a query may follow), id, JSON: each may be missing.
_GRAMMAR = re.compile(
    r"(?P<verb>[0-6])(?:[0-9]+-)?(?:(?P<namespace>/[^,?]*)(?:\?[^,]*)?(?:,|\Z))?"
    r"(?P<id>[0-9]{1,15})?(?P<data>[\[{\"].*)?\Z",
    re.DOTALL,
)
ROOT = "/"


class Said(Struct, frozen=True, kw_only=True):
    """One Socket.IO packet from a client. `data` is JSON, None if there is none.

    `id` is what the client wants repeated when it is told that an event has arrived.
    """

    verb: Verb
    namespace: str = ROOT
    id: int | None = None
    data: str | None = None


def decode_said(text: str) -> Said:
    """What a message says. Raises BadRequest."""
    found = _GRAMMAR.match(text)
    if found is None:
        raise BadRequest("this is not a packet of Socket.IO 5")
    return Said(
        verb=_VERBS[found["verb"]],
        namespace=found["namespace"] or ROOT,
        id=None if found["id"] is None else int(found["id"]),
        data=found["data"],
    )


def decode_event(said: Said) -> tuple[str, list[msgspec.Raw]]:
    """The name of an event and its arguments, which are JSON. Raises BadRequest."""
    try:
        words = msgspec.json.decode(said.data or "", type=list[msgspec.Raw])
        name = msgspec.json.decode(words[0], type=str) if words else ""
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest("an event is a list that begins with its name") from error
    return name, words[1:]


_START = Kind.MESSAGE.value
DISCONNECT = _START + Verb.DISCONNECT


def event(name: str, argument: str, *more: str) -> str:
    """The packet of an event; what it says is JSON already, and `name` and `more` plain words."""
    rest = "".join(f',"{word}"' for word in more)
    return f'{_START}{Verb.EVENT}["{name}",{argument}{rest}]'


def connected(sid: str, pid: str) -> str:
    """The answer to CONNECT: the client is in.

    `pid` is what a client that lost its connection shows to go on where it was.
    """
    return f'{_START}{Verb.CONNECT}{{"sid":"{sid}","pid":"{pid}"}}'


def received(packet_id: int) -> str:
    """The answer to an event that was sent with an id."""
    return f"{_START}{Verb.ACK}{packet_id}[]"


class _Reason(Struct, frozen=True):
    code: str


class _Refusal(Struct, frozen=True):
    message: str
    data: _Reason | None


def refused(namespace: str, message: str, code: str) -> str:
    """The answer to CONNECT: the client is not let in."""
    where = "" if namespace == ROOT else f"{namespace},"
    body = msgspec.json.encode(_Refusal(message, _Reason(code))).decode()
    return f"{_START}{Verb.CONNECT_ERROR}{where}{body}"
