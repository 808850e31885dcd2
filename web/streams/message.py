"""A message to a client, and the WebSocket frame that carries it (RFC 6455 section 5.2)."""

from __future__ import annotations

import struct

_FINAL, _TEXT, _BINARY = 0x80, 0x1, 0x2
_SHORT, _MEDIUM = 126, 127
_MAX_SHORT, _MAX_MEDIUM = 125, 0xFFFF


class Message:
    """What a client is told: JSON, or bytes if it is `binary`. Made once for all who are told it."""

    __slots__ = ("_begin", "binary", "frame")

    def __init__(self, *payload: bytes, binary: bool = False) -> None:
        """`payload` may come in parts. JSON is UTF-8."""
        head = _head(sum(map(len, payload)), binary=binary)
        self.binary = binary
        self.frame = b"".join((head, *payload))
        """The whole frame, unmasked as a server's are, without extensions."""
        self._begin = len(head)

    @property
    def payload(self) -> bytes:
        """What is in the frame. A copy: the frame is what is wanted again and again."""
        return self.frame[self._begin :]

    @property
    def text(self) -> str:
        """The JSON as text."""
        return self.payload.decode()


def _head(size: int, *, binary: bool) -> bytes:
    first = _FINAL | (_BINARY if binary else _TEXT)
    if size <= _MAX_SHORT:
        return bytes((first, size))
    if size <= _MAX_MEDIUM:
        return struct.pack(">BBH", first, _SHORT, size)
    return struct.pack(">BBQ", first, _MEDIUM, size)
