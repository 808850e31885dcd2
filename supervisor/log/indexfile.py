"""Looks things up in the index of a log that may still be growing, without loading it whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from supervisor.errors import StorageUnavailable
from supervisor.log import cached, logindex
from supervisor.log.logindex import Header, Record, Span
from supervisor.log.opening import open_quietly

NEAR_RECORDS = 16
"""What is looked at first: far more than there are in most reads."""
BLOCK_RECORDS = 256
RUN_RECORDS = 4096
MAX_BLOCKS = 4
MAX_BACK = 64 * BLOCK_RECORDS
_COUNTS = (NEAR_RECORDS, *[BLOCK_RECORDS] * MAX_BLOCKS)


class IndexFile:
    """The reader's side of an index. Remembers where it was, for readers that go straight on."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first look; a missing index is an empty one."""
        self._path = path
        self._fd = -1
        self._near = 0
        self.may_wait = True
        """Whether a disk may be waited for; if not, what is not in memory raises BlockingIOError."""

    def header(self) -> Header:
        """The header as it is now. Raises StateDirError for an index we cannot read."""
        return logindex.parse_header(self._pread(0, logindex.HEADER_SIZE))

    def lost(self, size: int) -> bool:
        """Whether it tells nothing of a log of `size` bytes. Raises StorageUnavailable."""
        raw = self._pread(0, logindex.HEADER_SIZE)
        if not logindex.is_header(raw):
            return size > 0
        return not self._count() and logindex.parse_header(raw).floor < size

    def spans(self, offset: int, size: int, limit: int) -> tuple[list[Span], int]:
        """What the bytes from `offset` on are, and the offset up to which this tells it.

        `size` is the log's, read before this call. Tells about at least `limit` bytes or all
        there are, but gives up after some blocks. The last span is as long as its chunk is
        by now.
        """
        number = self._find(offset)
        records: list[Record] = []
        end = size
        for count in _COUNTS:
            block = self._block(number, count)
            records += block
            number += len(block)
            if len(block) < count:
                break
            if block[-1].start >= min(size, offset + limit):
                end = min(size, block[-1].start)
                break
        else:
            end = min(size, records[-1].start)
        if end <= offset:  # only a damaged index says so
            end = size
        return logindex.spans(records, offset, end), end

    def runs(self, offset: int, size: int, limit: int) -> tuple[list[Span], int]:
        """As `spans`, but neighbours of one stream may be told as one, with the first one's time."""
        number = self._find(offset)
        raw = self._pread(logindex.position(number), RUN_RECORDS * logindex.RECORD_SIZE)
        stream = logindex.sole_stream(raw)
        if stream is None:
            return self.spans(offset, size, limit)
        end = size
        if len(raw) == RUN_RECORDS * logindex.RECORD_SIZE:
            end = min(size, logindex.parse_records(raw[-logindex.RECORD_SIZE :])[0].start)
        first = logindex.parse_records(raw[: logindex.RECORD_SIZE])[0]
        if first.start > offset or end <= offset:
            return self.spans(offset, size, limit)
        return [Span(offset, end, stream, first.time_us)], end

    def time_us_at(self, offset: int) -> int:
        """When the chunk at `offset` was written."""
        first = self.header().first
        number = logindex.last_at_or_before(offset, self._count(), first, self._record)
        return self._record(number).time_us

    def spans_back(self, offset: int) -> Iterator[Span]:
        """What the bytes before `offset` are, the nearest first, over at most MAX_BACK records."""
        number = self._find(max(0, offset - 1))
        end = offset
        lowest = max(self.header().first, number - MAX_BACK)
        while number >= lowest and end > 0:
            low = max(lowest, number - BLOCK_RECORDS + 1)
            block = self._block(low, number - low + 1)
            for record in reversed(list(logindex.sound(block, offset))):
                if record.start < end:
                    yield Span(record.start, end, record.stream, record.time_us)
                end = min(end, record.start)
            number = low - 1

    def last_stream(self) -> int | None:
        """Whose the last chunk is; None if there is none."""
        self.header()  # it is opened by the first look
        count = self._count()
        return self._record(count - 1).stream if count else None

    def number_at(self, offset: int) -> int:
        """The number of the record that covers `offset`."""
        return self._find(offset)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _find(self, offset: int) -> int:
        """The number of the record that covers `offset`."""
        for count in _COUNTS[:2]:
            block = self._block(self._near, count)
            if logindex.covers(block, offset, at_end=len(block) < count):
                self._near += logindex.index_of(block, offset)
                return self._near
        self._near = logindex.last_at_or_before(
            offset, self._count(), self.header().first, self._record
        )
        return self._near

    def _record(self, number: int) -> Record:
        found = logindex.parse_records(self._pread(logindex.position(number), logindex.RECORD_SIZE))
        return found[0] if found else Record(0, 0, 0)

    def _block(self, number: int, count: int) -> list[Record]:
        return logindex.parse_records(
            self._pread(logindex.position(number), count * logindex.RECORD_SIZE)
        )

    def _count(self) -> int:
        if self._fd < 0:
            return 0
        size = os.fstat(self._fd).st_size
        return max(0, size - logindex.HEADER_SIZE) // logindex.RECORD_SIZE

    def _pread(self, offset: int, count: int) -> bytes:
        try:
            if self._fd < 0:
                self._fd = open_quietly(self._path, os.O_RDONLY)
            pread = os.pread if self.may_wait else cached.pread
            return pread(self._fd, count, offset)
        except FileNotFoundError:
            return b""
        except BlockingIOError:
            raise
        except OSError as exc:
            raise StorageUnavailable(f"{self._path.name} cannot be read: {exc.strerror}") from exc
