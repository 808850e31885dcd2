"""The index of a log, as arithmetic: what its bytes mean and which chunk holds which offset.

No I/O here. docs/log-format.md tells the format to a stranger; the two rules behind it are

* a record of another stream is written before its chunk and holds only where the chunk starts, so
  that a writer killed at any point leaves no byte without a stream;
* only records that start below the log's size count, so the size is looked at first.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from supervisor.errors import StateDirError
from supervisor.model import Stream

MAGIC = b"RWINDEX\n"
VERSION = 1
HEADER_SIZE = 64
RECORD_SIZE = 16

COALESCE_US = 1000
NOT_KEPT = 0

_HEADER = struct.Struct(">8sHHIQQ32x")
_RECORD = struct.Struct(">QQ")
_LOW_56 = (1 << 56) - 1
_STREAMS = frozenset({NOT_KEPT, *Stream})


class Header(Struct, frozen=True):
    """What the index says of the whole log.

    `floor` is the oldest offset still kept, `first` the number of the record that covers it.
    """

    floor: int = 0
    first: int = 0


class Record(Struct, frozen=True):
    """A chunk starts at offset `start`, from stream number `stream`, at `time_us` (µs, UTC)."""

    start: int
    stream: int
    time_us: int


class Span(Struct, frozen=True):
    """The bytes `start` to `end` (exclusive) came from stream number `stream`."""

    start: int
    end: int
    stream: int
    time_us: int


def pack_header(header: Header) -> bytes:
    """The header as the first HEADER_SIZE bytes of an index file."""
    return _HEADER.pack(MAGIC, VERSION, HEADER_SIZE, 0, header.floor, header.first)


def parse_header(raw: bytes) -> Header:
    """Read the first bytes of an index file.

    What is no header (lost in a power cut, or damaged) counts as a fresh one: the bytes of the log
    are worth more than knowing who wrote them. Raises StateDirError for a version or flags that
    we do not know.
    """
    if len(raw) < HEADER_SIZE:
        return Header()
    magic, version, header_size, flags, floor, first = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        return Header()
    if version != VERSION or header_size != HEADER_SIZE or flags:
        raise StateDirError(
            f"the log's index has format {version} (flags {flags:#x}), which this version of "
            f"Runwire cannot read"
        )
    return Header(floor, first)


def is_header(raw: bytes) -> bool:
    """Whether an index begins with this, and not with what a power cut or a stranger has left."""
    return len(raw) >= HEADER_SIZE and raw.startswith(MAGIC)


def pack_record(record: Record) -> bytes:
    """One record as RECORD_SIZE bytes: stream and start, flags (none yet) and time."""
    return _RECORD.pack(record.stream << 56 | record.start, record.time_us)


def parse_records(raw: bytes) -> list[Record]:
    """All whole records in `raw`; a torn one at the end is left out."""
    whole = len(raw) - len(raw) % RECORD_SIZE
    return [
        Record(place & _LOW_56, place >> 56, time & _LOW_56)
        for place, time in _RECORD.iter_unpack(raw[:whole])
    ]


def sole_stream(raw: bytes) -> int | None:
    """The number of the one stream that all whole records in `raw` name, if they are sound.

    None if not, and for bytes that were not kept. Far faster than looking at every record.
    """
    words = array("Q", raw[: len(raw) - len(raw) % RECORD_SIZE])
    if not words:
        return None
    if sys.byteorder == "little":
        words.byteswap()
    places, times = words[::2].tolist(), words[1::2]
    stream: int = places[0] >> 56
    if (
        stream not in _STREAMS
        or stream == NOT_KEPT
        or places[-1] >> 56 != stream
        or places != sorted(places)
    ):
        return None
    return stream if min(times) > 0 and max(times) <= _LOW_56 else None


def position(number: int) -> int:
    """Where record `number` (from 0) lies in the index file."""
    return HEADER_SIZE + number * RECORD_SIZE


def slot(last: Record | None, count: int, new: Record) -> int | None:
    """The number under which `new` is written; None if the last record covers its chunk too.

    `count` includes the last record. A last record whose chunk is still empty is overwritten, at
    the same start, so that readers can never have used it.
    """
    if last is None:
        return count
    if last.stream == new.stream == NOT_KEPT:
        return None  # When it was written is no use to anybody.
    if last.stream == new.stream and 0 <= new.time_us - last.time_us < COALESCE_US:
        return None
    return count - 1 if last.start == new.start else count


def _is_sound(record: Record, before: int, size: int) -> bool:
    """True if it can be believed, after a record that starts at `before`, in a log of `size`."""
    return record.time_us > 0 and record.stream in _STREAMS and before <= record.start < size


def sound(records: Iterable[Record], size: int) -> Iterator[Record]:
    """The records that can be believed in a log of `size` bytes, in order of their start.

    Blank records (time 0), unknown streams, starts at or past the size or going backwards are
    damage: they are left out, and their bytes go to the record before.
    """
    before = 0
    for record in records:
        if _is_sound(record, before, size):
            before = record.start
            yield record


def sound_prefix(last: Record | None, records: Sequence[Record], size: int) -> int:
    """How many of `records`, which follow `last`, are sound before the first that is not."""
    before = last.start if last else 0
    for number, record in enumerate(records):
        if not _is_sound(record, before, size):
            return number
        before = record.start
    return len(records)


def _place(record: Record) -> int:
    """Where a search should see this record: a blank one, lost at the end, past all others."""
    return record.start if record.time_us else _LOW_56


def last_at_or_before(offset: int, count: int, first: int, fetch: Callable[[int], Record]) -> int:
    """The number of the last of `count` records that starts at or before `offset`.

    `first` if there is none. `fetch` returns a record by number; it is called log2(count) times.
    """
    low, high = first, count
    while low < high:
        middle = (low + high) // 2
        record = fetch(middle)
        if _place(record) <= offset:
            low = middle + 1
        else:
            high = middle
    return max(first, low - 1)


def covers(records: Sequence[Record], offset: int, *, at_end: bool) -> bool:
    """True if the record that covers `offset` is surely among these consecutive `records`.

    `at_end` says that no record follows them.
    """
    if not records or _place(records[0]) > offset:
        return False
    return at_end or _place(records[-1]) > offset


def index_of(records: Sequence[Record], offset: int) -> int:
    """Which of these ordered `records` covers `offset`; 0 if none does."""
    return max(0, bisect_right(records, offset, key=_place) - 1)


def spans(records: Iterable[Record], begin: int, end: int) -> list[Span]:
    """Cut `begin` to `end` into one span per sound record, contiguous and without empty ones.

    Bytes before the first record (there are none unless the index was lost) go to stdout.
    """
    found: list[Span] = []
    at, stream, time_us = begin, int(Stream.STDOUT), 0
    for record in sound(records, end):
        if record.start > at:
            found.append(Span(at, record.start, stream, time_us))
            at = record.start
        stream, time_us = record.stream, record.time_us
    if end > at:
        found.append(Span(at, end, stream, time_us))
    return found
