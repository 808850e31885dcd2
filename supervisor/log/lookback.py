"""What a stream wrote around a place in the log: the line that is open there, the lines next to it.

Each looks at a bounded part of the log only.
"""

from __future__ import annotations

from msgspec import Struct

from supervisor.log.logfile import Chunk, Gap, LogReader
from supervisor.log.stretch import EMPTY, Stretch, stretch_of
from supervisor.model import Stream
from supervisor.units import KIB

_CONTEXT_BYTES = 16 * KIB
_CONTEXT_READS = 16
_BACK_BYTES = 64 * KIB


class Opening(Struct, frozen=True):
    """A line so far: its bytes, and whether they begin where the line does."""

    text: Stretch
    begun: bool


def open_line(reader: LogReader, stream: Stream, offset: int, limit: int) -> Opening:
    """What `stream` wrote before `offset` of the line that is not ended there; often nothing.

    Nothing, too, if the line's start is not to be found within `limit` bytes. Raises as
    `LogReader.read`.
    """
    if offset == 0:
        return Opening(EMPTY, begun=True)
    found: list[tuple[int, bytes]] = []
    length = 0
    begun = False
    for piece in reader.read_back(stream, offset, min(limit + 1, _BACK_BYTES)):
        if isinstance(piece, Gap):
            begun = piece.next == 0
            break
        newline = piece.data.rfind(b"\n") + 1
        length += len(piece.data) - newline
        if length > limit:
            return Opening(EMPTY, begun=False)
        if newline < len(piece.data):
            found.append((piece.offset + newline, piece.data[newline:]))
        if newline:
            begun = True
            break
    else:
        return Opening(EMPTY, begun=False)
    return Opening(stretch_of(found[::-1]) if found else EMPTY, begun)


def lines_before(reader: LogReader, stream: Stream, offset: int, count: int) -> list[bytes]:
    """The last `count` lines of `stream` before `offset`, where a line begins, without newlines.

    Fewer where there are fewer, or where they are too long.
    """
    found = b""
    for piece in reader.read_back(stream, offset, _CONTEXT_BYTES):
        if isinstance(piece, Gap):
            break
        found = piece.data + found
        if found.count(b"\n") > count or len(found) >= _CONTEXT_BYTES:
            break
    lines = found.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return lines[-count:]


def lines_after(reader: LogReader, stream: Stream, offset: int, count: int) -> list[bytes]:
    """The first `count` lines of `stream` from `offset` on, where a line begins. As before."""
    found = b""
    size = reader.size
    for _ in range(_CONTEXT_READS):
        if offset >= size or found.count(b"\n") >= count or len(found) >= _CONTEXT_BYTES:
            break
        part = reader.read_stream(stream, offset, _CONTEXT_BYTES)
        for piece in part.pieces:
            if isinstance(piece, Chunk):
                found += piece.data
            else:
                return _first(found, count)
        offset = part.next
    return _first(found, count)


def _first(found: bytes, count: int) -> list[bytes]:
    lines = found.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return lines[:count]
