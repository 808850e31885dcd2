"""A followed log on the wire: exact bytes with their stream and offset, in small binary frames.

`GET /runs/{id}/log?follow=1` with `Accept: application/vnd.runwire.frames` answers with these, and
a WebSocket with the subprotocol `runwire.binary` sends output in them, whole frames in a message.
Every frame is a header of 21 bytes, big-endian, and then `length` bytes of data:

| field  | bytes | meaning                                                     |
|--------|-------|-------------------------------------------------------------|
| kind   | 1     | 1 stdout, 2 stderr, 0 gap, 255 end                          |
| offset | 8     | where in the run's log this frame begins                    |
| time   | 8     | when its bytes arrived, microseconds since 1970 UTC, or 0   |
| length | 4     | bytes of data that follow                                   |

- stdout and stderr: the data are that stream's bytes. A frame without data is a heartbeat: nothing
  was written lately, and the reader stands at `offset`.
- gap: the data are 8 bytes, the offset at which the log goes on. What lies between is not kept.
- end: the run has ended and everything kept was sent. The data are the run as JSON.

Frames follow each other without a hole, or with one that a gap explains; under a stream filter
their offsets only increase. A connection that ends before the end frame is incomplete: ask again
from the offset after the last frame that came whole.
"""

from __future__ import annotations

import struct

import msgspec
from msgspec import Struct

from supervisor.errors import ProtocolError
from supervisor.model import Stream
from supervisor.wire import RunView

MEDIA_TYPE = "application/vnd.runwire.frames"
MAX_DATA_BYTES = 16 * 1024 * 1024

_HEADER = struct.Struct(">BQQI")
_TO = struct.Struct(">Q")
_GAP = 0
_END = 255
_STREAMS = {int(stream): stream for stream in Stream}


class DataFrame(Struct, frozen=True):
    """Bytes of one stream, beginning at `offset` of the log. No bytes: a heartbeat."""

    stream: Stream
    offset: int
    data: bytes
    time_us: int = 0

    @property
    def next(self) -> int:
        """The offset after this frame."""
        return self.offset + len(self.data)


class GapFrame(Struct, frozen=True):
    """The bytes from `offset` up to, not including, `to` are not kept."""

    offset: int
    to: int

    @property
    def next(self) -> int:
        """The offset after this frame."""
        return self.to


class EndFrame(Struct, frozen=True):
    """The run ended as `run` says, and its log ends at `offset`."""

    offset: int
    run: RunView

    @property
    def next(self) -> int:
        """The offset after this frame."""
        return self.offset


Frame = DataFrame | GapFrame | EndFrame


def encode_data(stream: Stream, offset: int, data: bytes, time_us: int = 0) -> bytes:
    """A stdout or stderr frame. `data` may be empty (a heartbeat), at most MAX_DATA_BYTES."""
    return _HEADER.pack(stream, offset, time_us, len(data)) + data


def encode_gap(offset: int, to: int) -> bytes:
    """A frame that says that the bytes from `offset` up to `to` are not kept."""
    return _HEADER.pack(_GAP, offset, 0, _TO.size) + _TO.pack(to)


def encode_end(offset: int, run: RunView) -> bytes:
    """The last frame: the log's final offset and the ended run."""
    data = msgspec.json.encode(run)
    return _HEADER.pack(_END, offset, 0, len(data)) + data


class FrameDecoder:
    """Cuts a byte stream, received in pieces of any size, into frames."""

    def __init__(self) -> None:
        """A decoder at the start of a stream."""
        self._pending = bytearray()
        self._ended = False

    @property
    def ended(self) -> bool:
        """True once the end frame came; before that the stream is incomplete."""
        return self._ended

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that `piece` completes, in order.

        Raises ProtocolError for anything that is not such a frame, and for bytes after the end.
        """
        self._pending += piece
        position = 0
        frames: list[Frame] = []
        while not self._ended and (cut := self._cut(position)) is not None:
            frame, position = cut
            frames.append(frame)
            self._ended = isinstance(frame, EndFrame)
        del self._pending[:position]
        if self._ended and self._pending:
            raise ProtocolError("the server sent bytes after the end of the log")
        return frames

    def _cut(self, position: int) -> tuple[Frame, int] | None:
        """The frame that begins at `position` and where the next one will; None if it is not whole."""
        start = position + _HEADER.size
        if len(self._pending) < start:
            return None
        kind, offset, time_us, length = _HEADER.unpack_from(self._pending, position)
        if length > MAX_DATA_BYTES:
            raise ProtocolError(f"a frame of {length} bytes is longer than any can be")
        stop = start + length
        if len(self._pending) < stop:
            return None
        data = bytes(memoryview(self._pending)[start:stop])
        return _frame(kind, offset, time_us, data), stop


def _frame(kind: int, offset: int, time_us: int, data: bytes) -> Frame:
    """The frame with this header and data. Raises ProtocolError."""
    stream = _STREAMS.get(kind)
    if stream is not None:
        return DataFrame(stream, offset, data, time_us)
    if kind == _GAP:
        return _gap(offset, data)
    if kind == _END:
        return _end(offset, data)
    raise ProtocolError(f"there is no frame of kind {kind}")


def _gap(offset: int, data: bytes) -> GapFrame:
    if len(data) != _TO.size:
        raise ProtocolError(f"a gap frame has 8 bytes of data, not {len(data)}")
    (to,) = _TO.unpack(data)
    if to < offset:
        raise ProtocolError(f"a gap from {offset} cannot end at {to}")
    return GapFrame(offset, to)


def _end(offset: int, data: bytes) -> EndFrame:
    try:
        return EndFrame(offset, msgspec.json.decode(data, type=RunView))
    except msgspec.DecodeError as exc:
        raise ProtocolError(f"the end frame does not hold a run: {exc}") from exc
