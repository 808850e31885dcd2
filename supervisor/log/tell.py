"""Tells of a match in a log as people want to read it: its line, cut to size, and those around it."""

from __future__ import annotations

from msgspec import Struct

from supervisor.log.hits import Hit, StreamName
from supervisor.log.logfile import LogReader
from supervisor.log.lookback import lines_after, lines_before
from supervisor.log.stretch import Stretch, char_start
from supervisor.model import Stream

_NAMES: dict[Stream, StreamName] = {Stream.STDOUT: "stdout", Stream.STDERR: "stderr"}
_BEFORE_MATCH = 256


class Found(Struct, frozen=True, kw_only=True):
    """Bytes `match[0]` to `match[1]` of `part` match, in the line that is `line[0]` to `line[1]`.

    `newline` says that a newline follows, `whole` that this is all of the line.
    """

    stream: Stream
    part: Stretch
    line: tuple[int, int]
    match: tuple[int, int]
    newline: bool
    whole: bool

    @property
    def next(self) -> int:
        """The offset after the line and its newline."""
        begin, end = self.line
        if self.newline:
            return self.part.offset_of(end) + 1
        return self.part.offset_of(max(begin, end - 1)) + 1


def tell(found: Found, reader: LogReader, *, context: int, most: int) -> Hit:
    """The hit, with up to `context` lines on either side, no text longer than `most` bytes.

    Raises StorageUnavailable.
    """
    part, (begin, end), (first, last) = found.part, found.line, found.match
    low, high = shown(part.data, found.line, found.match, most)
    offset = part.offset_of(begin)
    before = lines_before(reader, found.stream, offset, context) if context else []
    after = (
        lines_after(reader, found.stream, found.next, context) if context and found.newline else []
    )
    return Hit(
        stream=_NAMES[found.stream],
        line=offset,
        offset=part.offset_of(first),
        length=last - first,
        time=reader.time_at(offset),
        text=part.data[low:high].decode("utf-8", "replace"),
        at=(_characters(part.data, low, first), _characters(part.data, low, min(last, high))),
        cut=(low, high) != (begin, end),
        whole=found.whole,
        before=tuple(_text(line, most) for line in before),
        after=tuple(_text(line, most) for line in after),
    )


def shown(data: bytes, line: tuple[int, int], match: tuple[int, int], most: int) -> tuple[int, int]:
    """Which part of a line to tell: all of it, or up to `most` bytes that begin near the match.

    Never a part of a character.
    """
    begin, end = line
    if end - begin <= most:
        return line
    low = max(begin, min(match[0] - _BEFORE_MATCH, end - most))
    low = max(begin, char_start(data, low))
    high = min(end, low + most)
    return low, high if high == end else max(low, char_start(data, high))


def _characters(data: bytes, low: int, index: int) -> int:
    """How many characters lie before byte `index`, from `low` on; one it cuts does not count."""
    return len(data[low : char_start(data, index)].decode("utf-8", "replace"))


def _text(line: bytes, most: int) -> str:
    if len(line) > most:
        line = line[: char_start(line, most)]
    return line.decode("utf-8", "replace")
