"""The index's arithmetic: bytes to records and back, what to write, what to believe."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import StateDirError
from supervisor.log import logindex
from supervisor.log.logindex import Header, Record, Span
from supervisor.model import Stream

OUT, ERR = int(Stream.STDOUT), int(Stream.STDERR)

streams = st.sampled_from([OUT, ERR, logindex.NOT_KEPT])
ordered_records = st.lists(st.tuples(st.integers(1, 50), streams)).map(
    lambda steps: [
        Record(start, stream, 1 + number)
        for number, (start, (_, stream)) in enumerate(
            zip(itertools.accumulate([0, *(step for step, _ in steps)]), steps, strict=False)
        )
    ]
)
any_record = st.builds(Record, st.integers(0, 400), st.integers(0, 255), st.integers(0, 10))


@given(floor=st.integers(0, 2**64 - 1), first=st.integers(0, 2**64 - 1))
def test_a_header_reads_back_as_it_was_packed(floor: int, first: int) -> None:
    """Floor and first record survive the way to bytes and back, in HEADER_SIZE bytes."""
    raw = logindex.pack_header(Header(floor, first))
    assert len(raw) == logindex.HEADER_SIZE
    assert logindex.parse_header(raw) == Header(floor, first)


@pytest.mark.parametrize("raw", [b"", b"\0" * 64, logindex.pack_header(Header(5, 1))[:63]])
def test_a_header_lost_in_a_power_cut_is_a_fresh_one(raw: bytes) -> None:
    """Nothing was ever trimmed from such a log: the floor is synced before bytes are given up."""
    assert logindex.parse_header(raw) == Header(floor=0, first=0)


@pytest.mark.parametrize(("at", "new"), [(8, b"\0\2"), (10, b"\0\x80"), (12, b"\0\0\0\1")])
def test_an_index_of_another_format_is_refused(at: int, new: bytes) -> None:
    """Another version or header size, and an unknown flag are not guessed at."""
    raw = bytearray(logindex.pack_header(Header()))
    raw[at : at + len(new)] = new
    with pytest.raises(StateDirError):
        logindex.parse_header(bytes(raw))


def test_what_is_no_header_counts_as_a_fresh_one() -> None:
    """So that a damaged index costs nothing but what it said."""
    raw = b"X" + logindex.pack_header(Header(floor=7, first=1))[1:]
    assert logindex.parse_header(raw) == Header()


@given(
    records=st.lists(
        st.builds(Record, st.integers(0, 2**56 - 1), st.integers(0, 255), st.integers(0, 2**56 - 1))
    ),
    torn=st.binary(max_size=15),
)
def test_records_read_back_as_they_were_packed(records: list[Record], torn: bytes) -> None:
    """A torn record at the end is left out; all before it are whole."""
    raw = b"".join(logindex.pack_record(record) for record in records)
    assert len(raw) == len(records) * logindex.RECORD_SIZE
    assert logindex.parse_records(raw + torn) == records


def test_the_format_is_as_documented_byte_by_byte() -> None:
    """docs/log-format.md shows these very bytes."""
    shown = Path(__file__).parents[2].joinpath("docs/log-format.md").read_text().split("```")[1]
    header = logindex.pack_header(Header(floor=4096, first=2))
    record = logindex.pack_record(Record(0x0F, ERR, 0x0660EDB24E89F4))
    assert bytes.fromhex(shown) == header + record
    assert logindex.position(2) == 64 + 16 * 2


def test_a_chunk_of_another_stream_gets_a_record_of_its_own() -> None:
    """However soon after the last one it comes."""
    assert logindex.slot(None, 0, Record(0, OUT, 5)) == 0
    assert logindex.slot(Record(0, OUT, 5), 1, Record(3, ERR, 5)) == 1


@pytest.mark.parametrize(("later_us", "expected"), [(0, None), (999, None), (1000, 4), (-1, 4)])
def test_one_stream_shares_a_record_for_a_millisecond(later_us: int, expected: int | None) -> None:
    """After that, or if the clock went back, the chunk gets a record with its own time."""
    last = Record(10, OUT, 5000)
    assert logindex.slot(last, 4, Record(20, OUT, 5000 + later_us)) == expected


def test_a_record_whose_chunk_stayed_empty_is_overwritten() -> None:
    """It takes the same place, with the same start."""
    assert logindex.slot(Record(10, OUT, 5), 4, Record(10, ERR, 6)) == 3


@given(records=st.lists(any_record), begin=st.integers(0, 400), length=st.integers(0, 400))
def test_spans_cover_every_byte_once_whatever_the_index_says(
    records: list[Record], begin: int, length: int
) -> None:
    """Contiguous from begin to end, none empty, with streams that exist."""
    found = logindex.spans(records, begin, begin + length)
    at = begin
    for span in found:
        assert span.start == at < span.end
        assert span.stream in (OUT, ERR, logindex.NOT_KEPT)
        at = span.end
    assert at == begin + length


@given(records=ordered_records, begin=st.integers(0, 300), length=st.integers(1, 300))
def test_a_span_belongs_to_the_last_record_that_starts_before_it(
    records: list[Record], begin: int, length: int
) -> None:
    """A chunk ends where the next begins."""
    for span in logindex.spans(records, begin, begin + length):
        owners = [record for record in records if record.start <= span.start]
        expected = (owners[-1].stream, owners[-1].time_us) if owners else (OUT, 0)
        assert (span.stream, span.time_us) == expected


def test_damaged_records_leave_their_bytes_to_the_one_before() -> None:
    """Blank ones, unknown streams, starts going backwards or past the end."""
    records = [
        Record(0, OUT, 1),
        Record(10, ERR, 2),
        Record(0, 0, 0),
        Record(12, 77, 3),
        Record(5, OUT, 4),
        Record(90, OUT, 5),
    ]
    assert logindex.spans(records, 0, 20) == [Span(0, 10, OUT, 1), Span(10, 20, ERR, 2)]
    assert logindex.sound_prefix(None, records, 20) == 2
    assert logindex.sound_prefix(records[1], records[4:], 20) == 0


@given(records=ordered_records, lost=st.integers(0, 3), offset=st.integers(0, 400))
def test_the_search_finds_the_record_that_covers_an_offset(
    records: list[Record], lost: int, offset: int
) -> None:
    """As looking at each would, also with blank records, lost in a power cut, at the end."""
    there = [*records, *[Record(0, 0, 0)] * lost]
    found = logindex.last_at_or_before(offset, len(there), 0, there.__getitem__)
    expected = [number for number, record in enumerate(records) if record.start <= offset]
    assert found == (expected[-1] if expected else 0)
    if logindex.covers(there, offset, at_end=True):
        assert logindex.index_of(there, offset) == found


@given(records=ordered_records.filter(len), offset=st.integers(0, 400))
def test_a_block_covers_an_offset_only_if_no_later_record_can(
    records: list[Record], offset: int
) -> None:
    """Within a longer index the block's last record says nothing of where its chunk ends."""
    inside = records[0].start <= offset < records[-1].start
    assert logindex.covers(records, offset, at_end=False) == inside
