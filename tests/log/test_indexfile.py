"""Looking things up in an index on disk, block by block."""

from pathlib import Path

import pytest

from supervisor.errors import StorageUnavailable
from supervisor.log import logindex
from supervisor.log.indexfile import BLOCK_RECORDS, MAX_BLOCKS, IndexFile
from supervisor.log.logindex import Header, Record, Span

COUNT = BLOCK_RECORDS * MAX_BLOCKS * 2
SIZE = COUNT * 10


@pytest.fixture
def index(tmp_path: Path) -> IndexFile:
    """An index of COUNT chunks of ten bytes, in turn stdout and stderr."""
    path = tmp_path / "r.idx"
    records = (Record(10 * number, 1 + number % 2, 1 + number) for number in range(COUNT))
    packed = b"".join(logindex.pack_record(record) for record in records)
    path.write_bytes(logindex.pack_header(Header()) + packed)
    return IndexFile(path)


def true_span(span: Span, begin: int, end: int) -> bool:
    """True if the span is just what the index says of a chunk, or its part in begin to end."""
    number = span.start // 10
    return span == Span(
        max(begin, 10 * number), min(end, 10 * number + 10), 1 + number % 2, 1 + number
    )


@pytest.mark.parametrize("offset", [0, 5, 10 * BLOCK_RECORDS - 1, SIZE // 2 + 3, SIZE - 15])
@pytest.mark.parametrize("limit", [1, 100, 10 * BLOCK_RECORDS, SIZE])
def test_every_span_told_of_is_a_true_one(index: IndexFile, offset: int, limit: int) -> None:
    """Contiguous from the offset to where it stops, which is far enough or as far as it looks."""
    spans, end = index.spans(offset, SIZE, limit)
    assert [span.start for span in spans] == [offset, *(span.end for span in spans[:-1])]
    assert spans[-1].end == end
    assert all(true_span(span, offset, end) for span in spans)
    looks = 10 * BLOCK_RECORDS * MAX_BLOCKS - 20
    assert end >= min(SIZE, offset + min(limit, looks))


def test_only_records_below_the_size_count(index: IndexFile) -> None:
    """The rest may still be replaced by the writer."""
    spans, end = index.spans(10, 35, 1000)
    assert end == 35
    assert spans == [Span(10, 20, 2, 2), Span(20, 30, 1, 3), Span(30, 35, 2, 4)]


def test_it_goes_back_as_well_as_on(index: IndexFile) -> None:
    """Where it was before is only a hint."""
    for offset in (SIZE - 5, 3, SIZE // 2, SIZE // 2 + 11, SIZE // 2 - 9):
        spans, _ = index.spans(offset, SIZE, 1)
        assert true_span(spans[0], offset, SIZE)


def test_a_missing_index_gives_all_to_stdout(tmp_path: Path) -> None:
    """It is opened as soon as it is there."""
    index = IndexFile(tmp_path / "r.idx")
    assert index.header() == Header()
    assert index.spans(3, 9, 100) == ([Span(3, 9, 1, 0)], 9)
    packed = logindex.pack_record(Record(0, 2, 7))
    (tmp_path / "r.idx").write_bytes(logindex.pack_header(Header()) + packed)
    assert index.spans(3, 9, 100) == ([Span(3, 9, 2, 7)], 9)
    index.close()


def test_an_index_that_cannot_be_read_is_storage_trouble(tmp_path: Path) -> None:
    """Not the same as a missing one."""
    with pytest.raises(StorageUnavailable, match=r"cannot be read: Is a directory"):
        IndexFile(tmp_path).header()
