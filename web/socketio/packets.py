"""The packets of Socket.IO (protocol 5) and of Engine.IO (protocol 4) below it. Pure: text and values.

python-engineio and python-socketio read and write them. What they read becomes values of our own
here, checked, and whatever they choke on becomes one error. Engine.IO carries messages over
whatever transport there is; a Socket.IO packet is the text of one such message. Only what is text
is spoken: nothing that we say or hear is binary.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import engineio.packet
import engineio.payload
import msgspec
import socketio.packet
from msgspec import Raw, Struct

from supervisor.errors import BadRequest
from supervisor.units import KIB

MAX_PAYLOAD_BYTES = 64 * KIB
"""The longest body that a polling client may send."""

MAX_PACKETS = MAX_PAYLOAD_BYTES // 32
"""How many packets a body may have: one that says something has 32 characters or more."""
_MAX_ID = 2**53 - 1
"""How far clients can count."""

# What the libraries raise for what they cannot read is of many kinds.
_UNREADABLE = (ValueError, LookupError, RecursionError)


class Kind(enum.IntEnum):
    """What an Engine.IO packet is for."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


class Packet(Struct, frozen=True):
    """One Engine.IO packet; `data` is empty for most kinds."""

    kind: Kind
    data: str = ""


PROBE = Packet(Kind.PING, "probe")
PROBED = Packet(Kind.PONG, "probe")


class Handshake(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the first packet of a connection tells the client; times are milliseconds."""

    sid: str
    upgrades: tuple[str, ...]
    ping_interval: int
    ping_timeout: int
    max_payload: int


def open_packet(handshake: Handshake) -> Packet:
    """The first packet."""
    return Packet(Kind.OPEN, msgspec.json.encode(handshake).decode())


def encode_packet(packet: Packet) -> str:
    """One packet, as a WebSocket message."""
    return str(_for_library(packet).encode())


def encode_payload(packets: Iterable[Packet]) -> bytes:
    """Packets, as the body of an answer."""
    payload = engineio.payload.Payload([_for_library(packet) for packet in packets])
    return str(payload.encode()).encode()


def decode_packet(text: str | bytes) -> Packet:
    """One packet, as a WebSocket message holds it. Raises BadRequest."""
    with _refusing("this is not a text packet of Engine.IO 4"):
        read = engineio.packet.Packet(encoded_packet=text)
        packet = _checked(read)
        _check_exact(read.encode(), text)
    return packet


def decode_payload(body: bytes) -> list[Packet]:
    """The packets in the body of a request. Raises BadRequest."""
    with _refusing("the body is not text packets of Engine.IO 4"):
        text = body.decode()
        read = engineio.payload.Payload()
        read.max_decode_packets = MAX_PACKETS
        read.decode(text)
        packets = [_checked(packet) for packet in read.packets]
        _check_exact(read.encode(), text)
    return packets


def _checked(read: engineio.packet.Packet) -> Packet:
    if not isinstance(read.data, str):
        raise ValueError("binary packets, and packets of JSON, are not spoken here")  # noqa: TRY004
    return Packet(Kind(read.packet_type), read.data)


def _check_exact(written: str, text: str | bytes) -> None:
    """Raise ValueError for a `text` that is not what the packets in it are when written again.

    The libraries take JSON, JSONP and digits of other scripts for packets, too.
    """
    if not text or written != text:
        raise ValueError("this only looks like packets")


def _for_library(packet: Packet) -> engineio.packet.Packet:
    return engineio.packet.Packet(packet.kind, packet.data)


# --- Socket.IO ---------------------------------------------------------------------------------


class Verb(enum.IntEnum):
    """What a Socket.IO packet is for; there are two more, which are binary."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4


ROOT = "/"


class Said(Struct, frozen=True, kw_only=True):
    """One Socket.IO packet from a client. `data` is what should be JSON, None if there is none.

    `id` is what the client wants repeated when it is told that an event has arrived.
    """

    verb: Verb
    namespace: str = ROOT
    id: int | None = None
    data: Raw | None = None


def decode_said(text: str) -> Said:
    """What a message says. Raises BadRequest."""
    with _refusing("this is not a text packet of Socket.IO 5"):
        read = _for_socket_io(Verb.EVENT)
        attachments = read.decode(text)
        if attachments or (read.id or 0) > _MAX_ID:
            raise ValueError("there are attachments, or the id is none that a client counts to")
        return Said(
            verb=Verb(read.packet_type),
            namespace=read.namespace or ROOT,
            id=read.id,
            data=read.data,
        )


def decode_event(said: Said) -> tuple[str, list[Raw]]:
    """The name of an event and its arguments, which are JSON. Raises BadRequest."""
    with _refusing("an event is a list that begins with its name"):
        words = msgspec.json.decode(said.data or b"", type=list[Raw])
        name = msgspec.json.decode(words[0], type=str) if words else ""
    return name, words[1:]


def disconnect() -> str:
    """The client is to go away."""
    return str(_for_socket_io(Verb.DISCONNECT).encode())


def event(name: str, argument: str, *more: str) -> str:
    """An event; `argument` is JSON already, `name` and `more` are words."""
    return str(_for_socket_io(Verb.EVENT, (name, Raw(argument), *more)).encode())


class _Welcome(Struct, frozen=True):
    sid: str
    pid: str


def connected(sid: str, pid: str) -> str:
    """The answer to CONNECT: the client is in.

    `pid` is what a client that lost its connection shows to go on where it was.
    """
    return str(_for_socket_io(Verb.CONNECT, _Welcome(sid, pid)).encode())


def received(packet_id: int) -> str:
    """The answer to an event that was sent with an id."""
    return str(_for_socket_io(Verb.ACK, (), packet_id=packet_id).encode())


class _Reason(Struct, frozen=True):
    code: str


class _Refusal(Struct, frozen=True):
    message: str
    data: _Reason


def refused(namespace: str, message: str, code: str) -> str:
    """The answer to CONNECT: the client is not let in."""
    return str(
        _for_socket_io(
            Verb.CONNECT_ERROR, _Refusal(message, _Reason(code)), namespace=namespace
        ).encode()
    )


class _Json:
    """What python-socketio is to use for JSON."""

    @staticmethod
    def dumps(value: object, separators: tuple[str, str]) -> str:
        """`value` as JSON; what is Raw in it goes through as it is."""
        del separators  # there is no white space anyway
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str) -> Raw:
        """JSON as it came: what type it must have depends on what it is for."""
        return Raw(text)


def _for_socket_io(
    verb: Verb, data: object = None, *, namespace: str = ROOT, packet_id: int | None = None
) -> socketio.packet.Packet:
    packet = socketio.packet.Packet(verb, data, namespace, packet_id, binary=False)
    packet.json = _Json  # type: ignore[assignment]  # or what has its two functions
    return packet


@contextmanager
def _refusing(why: str) -> Iterator[None]:
    """Whatever cannot be read inside raises BadRequest, which says `why`."""
    try:
        yield
    except _UNREADABLE as error:
        raise BadRequest(why) from error
