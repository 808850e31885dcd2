"""A run's output on disk, to be read: a file of raw bytes and its index, and a cursor over them.

The log is the buffer: bytes go from the pipe to the file (`logwriter`), and everyone who watches
is a cursor over the file. An offset is a position in `<run id>.log`, all streams together in
arrival order, and it never changes its meaning. The index beside it is told in `logindex`.

Nothing here waits: calls take as long as the page cache or the disk does.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, Self

from msgspec import Struct

from supervisor.errors import RangeNotSatisfiable, StorageUnavailable
from supervisor.log import cached, logindex
from supervisor.log.indexfile import IndexFile
from supervisor.log.opening import open_quietly
from supervisor.model import Stream

KIB = 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Chunk(Struct, frozen=True):
    """Bytes of one stream: `data` lies at `offset` and was written at `time_us` (µs, UTC)."""

    offset: int
    data: bytes
    stream: Stream
    time_us: int

    @property
    def next(self) -> int:
        """The offset one past the last byte."""
        return self.offset + len(self.data)

    @property
    def time(self) -> datetime:
        """`time_us` as a datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.time_us)


class GapReason(enum.StrEnum):
    """Why bytes that were written cannot be read."""

    TRIMMED = "trimmed"
    NOT_KEPT = "not_kept"


class Gap(Struct, frozen=True):
    """There is nothing to read from `offset` to `next` (exclusive), and never will be."""

    offset: int
    next: int
    reason: GapReason


Piece = Chunk | Gap
_LookUp = Callable[[int, int, int], tuple[list[logindex.Span], int]]


class StreamPart(Struct, frozen=True):
    """Some pieces of one stream, and the offset `next` at which to go on."""

    pieces: tuple[Piece, ...]
    next: int


class Tail(Protocol):
    """What the writer of a log knows of its end. May be asked from any thread."""

    @property
    def closed(self) -> bool:
        """Whether it writes no more, so that others may change the log."""

    @property
    def size(self) -> int:
        """The offset one past the last byte that can be read."""

    @property
    def floor(self) -> int:
        """The first offset that is still kept; told before anything below it is given back."""

    def newest(self, offset: int, limit: int) -> Chunk | None:
        """Up to `limit` bytes from `offset` on, if all of that came last; None if not."""

    def spans_from(self, offset: int, size: int) -> list[logindex.Span] | None:
        """What the bytes `offset` to `size` are, contiguous; None if that is too far back."""


def log_path(directory: Path, run_id: str) -> Path:
    """The file with the run's raw bytes."""
    return directory / f"{run_id}.log"


def index_path(directory: Path, run_id: str) -> Path:
    """The index beside it."""
    return directory / f"{run_id}.idx"


def remove_log(directory: Path, run_id: str) -> None:
    """Delete a run's log and index, as far as they are there. Raises StorageUnavailable."""
    try:
        log_path(directory, run_id).unlink(missing_ok=True)
        index_path(directory, run_id).unlink(missing_ok=True)
    except OSError as exc:
        raise StorageUnavailable(f"the log of run {run_id} cannot be removed: {exc}") from exc


class LogReader:
    """Reads a run's log at any offset, while it grows or after; as many readers as you like.

    A log that does not exist yet is empty until it does. Use as a context manager, or `close`.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        """Nothing is opened before the first look."""
        self._log_path = log_path(directory, run_id)
        self._log_fd = -1
        self.tail: Tail | None = None
        """Set where the log's writer is at hand, and then asked instead of the files."""
        self._index = IndexFile(index_path(directory, run_id))

    @classmethod
    def open(cls, directory: Path, run_id: str) -> LogReader:
        """A reader of this run's log. Raises nothing: the first look opens the files."""
        return cls(directory, run_id)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close."""
        self.close()

    @property
    def size(self) -> int:
        """The offset one past the last byte so far."""
        if self._log_fd < 0:
            try:
                self._log_fd = open_quietly(self._log_path, os.O_RDONLY)
            except FileNotFoundError:
                return 0
            except OSError as exc:
                raise self._unreadable(exc) from exc
        return os.fstat(self._log_fd).st_size if self.tail is None else self.tail.size

    @property
    def oldest(self) -> int:
        """The first offset that is still kept."""
        size = self.size
        return min(self._floor(), size)

    @property
    def index_lost(self) -> bool:
        """Whether nothing tells any more which of its bytes were written (see `repair`)."""
        return self._index.lost(self.size)

    @property
    def ends_in_gap(self) -> bool:
        """Whether the last bytes, at least, were not kept."""
        return self._index.last_stream() == logindex.NOT_KEPT

    def read(self, offset: int, limit: int) -> list[Piece]:
        """What lies at `offset`, contiguous, up to `limit` bytes; empty at the log's end.

        A chunk is what came from one stream at one time. Far fewer than `limit` bytes may be
        returned where chunks are tiny. Raises RangeNotSatisfiable outside 0 to `size`, and
        StorageUnavailable.
        """
        return self._read(offset, limit, self._index.spans)

    def read_runs(self, offset: int, limit: int) -> list[Piece]:
        """As `read`, and faster: a chunk is what came from one stream, and `time_us` its first."""
        return self._read(offset, limit, self._index.runs)

    def time_at(self, offset: int) -> datetime:
        """When the byte at `offset` was written, in UTC. Raises StorageUnavailable."""
        return _EPOCH + timedelta(microseconds=self._index.time_us_at(offset))

    def _read(self, offset: int, limit: int, look_up: _LookUp) -> list[Piece]:
        size = self._checked_size(offset)
        if offset == size:
            return []
        spans, end = self._known_spans(offset, size) or look_up(offset, size, limit)
        end = min(end, offset + limit)
        data = self._pread(offset, end - offset)
        gap = self._trimmed(offset)  # looked at last: bytes may be given back while we read
        if gap:
            return [gap]
        if len(spans) == 1 and spans[0].stream != logindex.NOT_KEPT:
            return [Chunk(offset, data, Stream(spans[0].stream), spans[0].time_us)]
        pieces: list[Piece] = []
        for span in spans:
            if span.start >= end:
                break
            if span.stream == logindex.NOT_KEPT:
                pieces.append(Gap(span.start, span.end, GapReason.NOT_KEPT))
                continue
            part = data[span.start - offset : span.end - offset]
            pieces.append(Chunk(span.start, part, Stream(span.stream), span.time_us))
        return pieces

    def read_stream(self, stream: Stream, offset: int, limit: int) -> StreamPart:
        """Up to `limit` bytes of one stream from `offset` on, passing over the others.

        A call looks at a bounded part of the log, so it may return nothing and still have come
        nearer: go on at `next` until that is the size. Raises as `read`.
        """
        size = self._checked_size(offset)
        known = self._known_spans(offset, size)
        spans, end = known or self._index.spans(offset, size, size - offset)
        pieces: list[Piece] = []
        for span in spans:
            if span.stream == logindex.NOT_KEPT:
                pieces.append(Gap(span.start, span.end, GapReason.NOT_KEPT))
            elif span.stream == stream:
                data = self._pread(span.start, min(limit, span.end - span.start))
                pieces.append(Chunk(span.start, data, stream, span.time_us))
                limit -= len(data)
                if limit <= 0:
                    end = span.start + len(data)
                    break
        gap = self._trimmed(offset)
        if gap:
            return StreamPart((gap,), gap.next)
        return StreamPart(tuple(pieces), end)

    def last_bytes(self, stream: Stream, offset: int, count: int) -> bytes:
        """The last `count` bytes that `stream` wrote before `offset`; fewer if there are fewer.

        Not beyond what was not kept: what follows a gap has nothing to do with what was before it.
        Looks back over a bounded number of chunks of other streams. Raises as `read`.
        """
        self._checked_size(offset)
        oldest = self.oldest
        found = b""
        for span in self._index.spans_back(offset):
            if span.end <= oldest or len(found) >= count or span.stream == logindex.NOT_KEPT:
                break
            if span.stream == stream:
                start = max(span.start, oldest, span.end - count + len(found))
                found = self._pread(start, span.end - start) + found
        return found

    def read_back(self, stream: Stream, offset: int, limit: int) -> Iterator[Piece]:
        """What `stream` wrote before `offset`, the nearest first, in chunks of up to `limit` bytes.

        The last one is the gap that ends it, or the empty one before the oldest kept byte. Without
        a gap, it gave up after a bounded number of chunks of other streams. Raises as `read`.
        """
        self._checked_size(offset)
        end = offset
        for span in self._index.spans_back(offset):
            if span.stream == logindex.NOT_KEPT:
                yield Gap(span.start, span.end, GapReason.NOT_KEPT)
                return
            while span.stream == stream and span.start < span.end and end > span.start:
                end = min(end, span.end)
                start = max(span.start, end - limit, min(self.oldest, end))
                data = self._pread(start, end - start)
                if start < self.oldest or not data:
                    break
                yield Chunk(start, data, stream, span.time_us)
                end = start
            end = min(end, span.start)
            if end <= self.oldest:
                yield Gap(end, self.oldest, GapReason.TRIMMED)
                return

    def line_start_before(self, offset: int, within: int = 64 * KIB) -> int:
        """The start of the line that `offset` is in; `offset` itself if its line is too long.

        Looks back at most `within` bytes and not past `oldest`. Lines are those of the merged
        log, whatever the stream. Raises as `read`.
        """
        self._checked_size(offset)
        oldest = self.oldest
        start = max(oldest, offset - within)
        if offset <= oldest:
            return oldest
        newline = self._pread(start, offset - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        return start if start == oldest else offset

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Reads meanwhile raise BlockingIOError instead of waiting for a disk."""
        self._index.may_wait = False
        try:
            yield
        finally:
            self._index.may_wait = True

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1

    def _checked_size(self, offset: int) -> int:
        size = self.size
        if not 0 <= offset <= size:
            raise RangeNotSatisfiable(
                f"offset {offset} is outside the log, which ends at {size}",
                oldest=self.oldest,
                size=size,
            )
        return size

    def _known_spans(self, offset: int, size: int) -> tuple[list[logindex.Span], int] | None:
        tail = self._tail()
        known = None if tail is None else tail.spans_from(offset, size)
        return None if known is None else (known, size)

    def _floor(self) -> int:
        tail = self._tail()
        return self._index.header().floor if tail is None else tail.floor

    def _tail(self) -> Tail | None:
        return None if self.tail is None or self.tail.closed else self.tail

    def _trimmed(self, offset: int) -> Gap | None:
        floor = self._floor()
        return Gap(offset, floor, GapReason.TRIMMED) if offset < floor else None

    def _pread(self, offset: int, count: int) -> bytes:
        try:
            pread = os.pread if self._index.may_wait else cached.pread
            return pread(self._log_fd, count, offset)
        except BlockingIOError:
            raise
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, exc: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"{self._log_path.name} cannot be read: {exc.strerror}")
