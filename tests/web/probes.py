"""What a hostile client sends: requests and frames that no server may obey, nor fall over."""

from __future__ import annotations

import struct

import trio
from wsproto.connection import Connection as ClientFrames
from wsproto.connection import ConnectionType
from wsproto.events import CloseConnection

from tests.patience import PATIENCE_S


def handshake(*extra: bytes, version: bytes = b"13", path: bytes = b"/ws") -> bytes:
    lines = [
        b"GET " + path + b" HTTP/1.1",
        b"Host: x",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: " + version,
        *extra,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def frame(opcode: int, data: bytes = b"", *, masked: bool = True) -> bytes:
    mask = 0x80 if masked else 0
    if len(data) < 126:
        head = bytes([0x80 | opcode, mask | len(data)])
    else:
        head = bytes([0x80 | opcode, mask | 126]) + struct.pack("!H", len(data))
    return head + (bytes(4) if masked else b"") + data


REFUSED = {
    "an upgrade with a body": (handshake(b"Content-Length: 3") + b"abc", b"400"),
    "an upgrade with a chunked body": (
        handshake(b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        b"400",
    ),
    "a byte after the upgrade request": (handshake() + b"x", b"400"),
    "a frame after the upgrade request": (handshake() + frame(1, b"hi"), b"400"),
    "a subprotocol that is not ASCII": (handshake(b"Sec-WebSocket-Protocol: \xff\xff"), b"400"),
    "an unknown WebSocket version": (handshake(version=b"99"), b"426"),
    "a target that is not ASCII": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    "a target that is a broken URL": (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", b"400"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
    "two lengths": (
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"400",
    ),
    "a length that is no number": (
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"400",
    ),
    "CONNECT": (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    "not HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    "HTTP/2 with prior knowledge": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + b"\xff" * 40,
        b"505",
    ),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, b"431"),
}
BAD_FRAMES = {
    "a reserved opcode": (b"\x83\x80" + bytes(4), 1002),
    "a reserved bit": (b"\xc1\x80" + bytes(4), 1002),
    "an unmasked frame": (frame(1, b"x", masked=False), 1002),
    "a length not as short as can be": (b"\x81\xfe\x00\x01" + bytes(4) + b"x", 1002),
    "a length that no frame can have": (b"\x81\xff" + b"\xff" * 8 + bytes(4) + b"x", 1002),
    "a long ping": (frame(9, b"a" * 126), 1002),
    "a ping in pieces": (b"\x09\x80" + bytes(4), 1002),
    "a continuation of nothing": (frame(0, b"x"), 1002),
    "a message in the middle of another": (b"\x01\x80" + bytes(4) + frame(1, b"x"), 1002),
    "close code 99": (frame(8, b"\0\x63"), 1002),
    "close code 1006": (frame(8, b"\x03\xee"), 1002),
    "half a close code": (frame(8, b"\x03"), 1002),
    "a close reason that is not UTF-8": (frame(8, b"\x03\xe8\xff"), 1007),
    "text that is not UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "half a character": (frame(1, b"\xe2\x82"), 1007),
    "a message longer than allowed": (
        b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4) + b"a" * (64 * 1024 + 1),
        1009,
    ),
    "one in pieces that is longer than allowed": (
        b"\x01" + frame(0, b"a" * 60_000)[1:] + frame(0, b"a" * 60_000),
        1009,
    ),
    "frames after close": (frame(8, b"\x03\xe8") + frame(1, b"x") + frame(9, b"y"), 1000),
}


_MOST_AT_ONCE = 64 * 1024


def close_code(answer: bytes) -> int:
    """The code of the close frame that ends what a server sent after its handshake."""
    client = ClientFrames(ConnectionType.CLIENT)
    client.receive_data(answer.split(b"\r\n\r\n", 1)[1])
    *_, last = client.events()
    assert isinstance(last, CloseConnection), last
    return int(last.code)


async def read_all(client: trio.SocketStream) -> bytes:
    """Everything until the server closes."""
    got = bytearray()
    with trio.fail_after(PATIENCE_S):
        try:
            async for data in client:
                got += data
        except trio.BrokenResourceError:
            pass
    return bytes(got)


async def read_until(client: trio.SocketStream, mark: bytes) -> bytes:
    got = bytearray()
    with trio.fail_after(PATIENCE_S):
        # It may come behind much else: what was looked at is not looked at again.
        while got.find(mark, max(0, len(got) - _MOST_AT_ONCE - len(mark))) < 0:
            data = await client.receive_some(_MOST_AT_ONCE)
            assert data, f"closed before {mark!r}: {got[-1000:]!r}"
            got += data
    return bytes(got)
