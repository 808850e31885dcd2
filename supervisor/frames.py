"""Output in the binary form of a stream: exact bytes with their stream, offset and time.

A WebSocket with the subprotocol `runwire.binary` sends output as binary messages, each one or more
whole frames. Every frame is a header of 21 bytes, big-endian, and then `length` bytes of data:

| field  | bytes | meaning                                                |
|--------|-------|--------------------------------------------------------|
| kind   | 1     | 1 stdout, 2 stderr                                     |
| offset | 8     | where in the run's log the data begin                  |
| time   | 8     | when they arrived, microseconds since 1970-01-01 UTC   |
| length | 4     | bytes of data that follow                              |
"""

from __future__ import annotations

import struct

from msgspec import Struct

from supervisor.errors import ProtocolError
from supervisor.model import Stream

BINARY = "runwire.binary"
"""The subprotocol that stands for this form."""

_HEADER = struct.Struct(">BQQI")
_STREAMS = {int(stream): stream for stream in Stream}


class Output(Struct, frozen=True):
    """Bytes that `stream` wrote, beginning at `offset` of the log; when they arrived, in µs."""

    stream: Stream
    offset: int
    data: bytes
    time_us: int = 0

    @property
    def next(self) -> int:
        """The offset after these bytes."""
        return self.offset + len(self.data)


def encode_output(stream: Stream, offset: int, data: bytes, time_us: int = 0) -> bytes:
    """One frame."""
    return output_header(stream, offset, len(data), time_us) + data


def output_header(stream: Stream, offset: int, length: int, time_us: int = 0) -> bytes:
    """What comes before the data of a frame, which are `length` bytes."""
    return _HEADER.pack(stream, offset, time_us, length)


def decode_output(message: bytes) -> list[Output]:
    """The frames of a message, in order. Raises ProtocolError if it is none of whole frames."""
    outputs: list[Output] = []
    position = 0
    while position < len(message):
        start = position + _HEADER.size
        if start > len(message):
            raise ProtocolError("a binary message ends within the header of a frame")
        kind, offset, time_us, length = _HEADER.unpack_from(message, position)
        position = start + length
        if position > len(message):
            raise ProtocolError("a binary message ends within the data of a frame")
        if kind not in _STREAMS:
            raise ProtocolError(f"there is no frame of kind {kind}")
        outputs.append(Output(_STREAMS[kind], offset, message[start:position], time_us))
    return outputs
