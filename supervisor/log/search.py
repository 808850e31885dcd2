"""Looks for a pattern in a log, line by line, in memory that does not depend on the log.

A line is one of one stream: what another stream wrote in between is passed over, and a gap ends
it. Lines come in the order of their ends, so that a search can go on at any offset: it looks back
for the beginnings of the lines that are open there. Calls take as long as a disk does, and belong
in a worker thread.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from supervisor.log.hits import Finding, SearchEnd, SearchGap
from supervisor.log.logfile import Chunk, Gap, LogReader, Piece
from supervisor.log.lookback import Opening, open_line
from supervisor.log.pattern import Finder
from supervisor.log.stretch import EMPTY, Stretch, char_start, join, stretch_of
from supervisor.log.tell import Found, tell
from supervisor.model import Stream
from supervisor.units import KIB, MIB

Stopped = Literal["end", "limit", "time", "size"]

_FIRST_READ = 16 * KIB
_QUICK_S = 0.002
_SLOW_S = 0.005
_COPY_S = 1e-9
"""What a byte costs to be read from memory and put together: far from all is Python."""


class Bounds(Struct, frozen=True):
    """What one search may take.

    `line` is how many bytes of a line are looked at together, `text` how many of them are told.
    """

    read: int = 1 * MIB
    line: int = 1 * MIB
    text: int = 1 * KIB
    total: int = 8 * 1024 * MIB
    time_s: float = 10.0


class Wanted(Struct, frozen=True, kw_only=True):
    """Where to look, from the line on that `start` lies in, and how much to tell."""

    start: int
    stream: Stream | None = None
    limit: int = 100
    context: int = 0


class LogSearch:
    """One search over what a log has when it begins. `reader` is its own, until it is over."""

    def __init__(
        self,
        reader: LogReader,
        finder: Finder,
        wanted: Wanted,
        *,
        ended: bool,
        bounds: Bounds | None = None,
    ) -> None:
        """`ended` says that the log's last line is as long as it will ever be."""
        self._reader = reader
        self._finder = finder
        self._wanted = wanted
        self._ended = ended
        self._bounds = bounds or Bounds()
        self._at = wanted.start
        self._stop = 0
        self._read_size = min(_FIRST_READ, self._bounds.read)
        self._work_s = 0.0
        self._open: dict[Stream, Opening] = {}
        self._hits = 0
        self._searched = 0
        self.apart_s = 0.0
        """Seconds of processor time that went by with other threads free to run, about."""

    def findings(self) -> Iterator[Finding | None]:
        """What is found, in the order of the lines' ends, and the end last.

        None after each read, so that one can do something else. Raises StorageUnavailable, and
        RangeNotSatisfiable if the log does not reach `wanted.start`.
        """
        give_up_at = time.monotonic() + self._bounds.time_s
        self._stop = self._reader.size
        wanted = self._wanted.stream
        for stream in Stream if wanted is None else [wanted]:
            self._open[stream] = self._look_back(stream)
        stopped: Stopped = "end"
        while self._at < self._stop and stopped == "end":
            yield from self._next_part()
            yield None
            stopped = self._why_stop(give_up_at)
        yield from self._finish(all_read=stopped == "end")
        yield SearchEnd(
            complete=stopped == "end",
            stopped=stopped,
            next=self._at,
            searched=self._searched,
            hits=self._hits,
        )

    @property
    def _full(self) -> bool:
        return self._hits >= self._wanted.limit

    def _why_stop(self, give_up_at: float) -> Stopped:
        unread = self._at < self._stop
        if self._full and (unread or any(line.text.data for line in self._open.values())):
            return "limit"
        if unread and self._searched >= self._bounds.total:
            return "size"
        return "time" if unread and time.monotonic() >= give_up_at else "end"

    def _look_back(self, stream: Stream) -> Opening:
        return open_line(self._reader, stream, self._at, self._bounds.line)

    def _finish(self, *, all_read: bool) -> Iterator[Finding]:
        """Look at the lines that have no end yet, or whose beginning would not be found again."""
        for stream, line in self._open.items():
            if all_read or line.text.data != self._look_back(stream).text.data:
                yield from self._look(stream, line.text, whole=line.begun and self._ended)

    def _next_part(self) -> Iterator[Finding]:
        """Read on and look at it; `_at` is how far that is done."""
        begun = time.monotonic()
        pieces = self._reader.read_runs(self._at, min(self._read_size, self._stop - self._at))
        self._work_s = time.monotonic() - begun
        for stream, run in itertools.groupby(pieces, key=_stream_of):
            parts = list(run)
            begin, self._at = parts[0].offset, parts[-1].next
            if stream is None:
                yield from self._pass_gap(parts)
            else:
                self._searched += self._at - begin
                self.apart_s += (self._at - begin) * _COPY_S
                if stream in self._open:
                    yield from self._take(stream, stretch_of(_kept(parts)))
            if self._full:
                return
        if self._work_s < _QUICK_S:
            self._read_size = min(2 * self._read_size, self._bounds.read)
        elif self._work_s > _SLOW_S:
            self._read_size = max(KIB, self._read_size // 2)

    def _pass_gap(self, parts: list[Piece]) -> Iterator[Finding]:
        for stream, line in self._open.items():
            self._open[stream] = Opening(EMPTY, begun=False)
            yield from self._look(stream, line.text, whole=False)
        for part in parts:
            if isinstance(part, Gap):
                yield SearchGap(part.offset, part.next, part.reason)

    def _take(self, stream: Stream, part: Stretch) -> Iterator[Finding]:
        """Look at the lines that end in `part`; the beginning of the next one stays open."""
        first, last = part.data.find(b"\n") + 1, part.data.rfind(b"\n") + 1
        line = self._open[stream]
        if first:
            self._open[stream] = Opening(EMPTY, begun=True)
            yield from self._look(stream, join([line.text, part.until(first)]), whole=line.begun)
            if not self._full:
                yield from self._look(stream, part, span=(first, last))
            if self._full:
                return
            line = self._open[stream]
        text = join([line.text, part.after(last)])
        if len(text.data) <= self._bounds.line:
            self._open[stream] = Opening(text, begun=line.begun)
            return
        cut = char_start(text.data, len(text.data) - 1)
        self._open[stream] = Opening(text.after(cut), begun=False)
        yield from self._look(stream, text.until(cut), whole=False)

    def _look(
        self,
        stream: Stream,
        part: Stretch,
        *,
        whole: bool = True,
        span: tuple[int, int] | None = None,
    ) -> Iterator[Finding]:
        """The hits in the lines of `part`, or of this span of it, up to the one that is enough."""
        start, end = span or (0, len(part.data))
        while start < end:
            match = self._find(part.data, start, end)
            if match is None:
                break
            newline = part.data.find(b"\n", match[1], end)
            line = part.data.rfind(b"\n", start, match[0]) + 1 or start
            found = Found(
                stream=stream,
                part=part,
                line=(line, newline if newline >= 0 else end),
                match=match,
                newline=newline >= 0,
                whole=whole,
            )
            self._hits += 1
            if self._full:
                self._at = found.next if newline >= 0 else self._at
            yield tell(found, self._reader, context=self._wanted.context, most=self._bounds.text)
            if self._full:
                return
            start = found.line[1] + 1

    def _find(self, data: bytes, start: int, end: int) -> tuple[int, int] | None:
        """The next match; not the empty one after the last newline, where no line is."""
        begun = time.thread_time()
        match = self._finder.find(data, start, end)
        took_s = time.thread_time() - begun
        self._work_s += took_s
        self.apart_s += took_s
        if match is not None and match[0] == end and data[end - 1] == ord("\n"):
            return None
        return match


def _stream_of(piece: Piece) -> Stream | None:
    return piece.stream if isinstance(piece, Chunk) else None


def _kept(pieces: list[Piece]) -> list[tuple[int, bytes]]:
    return [(at.offset, at.data) for at in pieces if isinstance(at, Chunk)]
