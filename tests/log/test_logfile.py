"""Reading a log: any offset, any stream, while it grows, whatever became of it."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import RangeNotSatisfiable, StateDirError, StorageUnavailable
from supervisor.log import logindex
from supervisor.log.indexfile import BLOCK_RECORDS, MAX_BACK, MAX_BLOCKS
from supervisor.log.logfile import Chunk, Gap, GapReason, LogReader, Piece, index_path, log_path
from supervisor.log.logindex import Header, Record
from supervisor.log.logwriter import LogWriter
from supervisor.model import Stream

OUT, ERR = Stream.STDOUT, Stream.STDERR
MANY = BLOCK_RECORDS * MAX_BLOCKS * 2

writes = st.lists(
    st.tuples(st.sampled_from(Stream), st.binary(min_size=1, max_size=40), st.integers(0, 3000)),
    max_size=60,
)


def write(directory: Path, chunks: list[tuple[Stream, bytes, int]]) -> LogWriter:
    """Run `r`'s log with these chunks, each so many µs after the one before; still open."""
    log = LogWriter.create(directory, "r")
    time_us = 1_000_000
    for stream, data, later_us in chunks:
        time_us += later_us
        assert log.append(data, stream, time_us=time_us) == len(data)
    return log


def many(directory: Path, every: int = 2) -> bytes:
    """A log of MANY short chunks, each `every`th on stderr; returns its bytes."""
    chunks = [(OUT if number % every else ERR, b"%d\n" % number, 2000) for number in range(MANY)]
    write(directory, chunks).close()
    return b"".join(data for _, data, _ in chunks)


def set_header(directory: Path, header: Header) -> None:
    """Say in run `r`'s index that all before `header.floor` is given up."""
    with index_path(directory, "r").open("r+b") as index:
        index.write(logindex.pack_header(header))


def read_all(reader: LogReader, limit: int, offset: int = 0) -> list[Piece]:
    """Everything from `offset` on, as one cursor sees it; checks that it is contiguous."""
    pieces: list[Piece] = []
    while found := reader.read(offset, limit):
        for piece in found:
            assert piece.offset == offset
            assert piece.next > offset
            offset = piece.next
        pieces += found
    assert offset == reader.size
    return pieces


def read_all_of(reader: LogReader, stream: Stream, limit: int, offset: int = 0) -> list[Piece]:
    """Everything of one stream from `offset` on; checks that each call comes nearer the end."""
    pieces: list[Piece] = []
    while offset < reader.size:
        part = reader.read_stream(stream, offset, limit)
        assert part.next > offset
        assert sum(len(piece.data) for piece in part.pieces if isinstance(piece, Chunk)) <= limit
        offset = part.next
        pieces += part.pieces
    return pieces


def joined(pieces: list[Piece]) -> bytes:
    """The bytes of all chunks."""
    return b"".join(piece.data for piece in pieces if isinstance(piece, Chunk))


@given(
    chunks=writes,
    limit=st.integers(1, 100),
    cut=st.integers(0, 10_000),
    restart=st.integers(0, 60),
)
def test_reads_from_any_offset_in_steps_of_any_size_make_up_the_file(
    chunks: list[tuple[Stream, bytes, int]], limit: int, cut: int, restart: int
) -> None:
    """Both merged and per stream, nothing is lost, doubled or given to the wrong stream.

    Whether or not the log got a new writer on the way.
    """
    whole = b"".join(data for _, data, _ in chunks)
    streams = b"".join(bytes([stream]) * len(data) for stream, data, _ in chunks)
    cut = min(cut, len(whole))
    with TemporaryDirectory() as directory, LogReader.open(Path(directory), "r") as reader:
        write(Path(directory), chunks[:restart]).close()
        write(Path(directory), chunks[restart:]).close()
        pieces = read_all(reader, limit, cut)
        assert joined(pieces) == whole[cut:]
        assert [
            piece.stream for piece in pieces for _ in range(piece.offset, piece.next)
            if isinstance(piece, Chunk)
        ] == list(streams[cut:])  # fmt: skip
        for stream in Stream:
            expected = bytes(
                byte for byte, of in zip(whole[cut:], streams[cut:], strict=True) if of == stream
            )
            assert joined(read_all_of(reader, stream, limit, cut)) == expected


@given(chunks=writes, offset=st.integers(0, 2000), count=st.integers(1, 5))
def test_what_a_stream_said_last_is_found_behind_the_other(
    chunks: list[tuple[Stream, bytes, int]], offset: int, count: int
) -> None:
    """The bytes of that stream alone, before an offset that may lie inside a chunk."""
    offset = min(offset, sum(len(data) for _, data, _ in chunks))
    marked = [(stream, byte) for stream, data, _ in chunks for byte in data][:offset]
    with TemporaryDirectory() as directory, LogReader.open(Path(directory), "r") as reader:
        write(Path(directory), chunks).close()
        for stream in Stream:
            said = bytes(byte for of, byte in marked if of == stream)
            assert reader.last_bytes(stream, offset, count) == said[-count:]


def test_looking_back_has_its_bounds(tmp_path: Path) -> None:
    """The floor, and a number of chunks of other streams that nobody would wait for."""
    write(tmp_path, [(ERR, b"e", 0), *[(OUT, b"o", 2000)] * (MAX_BACK - 1)]).close()
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.last_bytes(ERR, MAX_BACK, 3) == b"e"
        assert reader.last_bytes(OUT, 5, 10) == b"oooo"
    write(tmp_path, [(OUT, b"o", 2000)] * 2).close()
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.last_bytes(ERR, reader.size, 3) == b""
    set_header(tmp_path, Header(floor=3, first=3))
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.last_bytes(OUT, 5, 10) == b"oo"
        assert reader.last_bytes(OUT, 2, 10) == b""


@given(chunks=writes)
def test_a_chunk_tells_when_it_was_written_to_the_millisecond(
    chunks: list[tuple[Stream, bytes, int]],
) -> None:
    """Its time is that of its first bytes; what came within a millisecond shares it."""
    times = []
    time_us = 1_000_000
    for _, data, later_us in chunks:
        time_us += later_us
        times += [time_us] * len(data)
    with TemporaryDirectory() as directory, LogReader.open(Path(directory), "r") as reader:
        write(Path(directory), chunks).close()
        for piece in read_all(reader, 1000):
            assert isinstance(piece, Chunk)
            assert piece.time_us == times[piece.offset]
            assert times[piece.next - 1] - piece.time_us < logindex.COALESCE_US


@given(offset=st.integers(0, 8000), limit=st.integers(1, 300))
def test_an_index_of_many_blocks_is_searched_right(
    long_log: tuple[Path, bytes], offset: int, limit: int
) -> None:
    """Jumps to anywhere, by a reader that has just been elsewhere."""
    directory, whole = long_log
    with LogReader.open(directory, "r") as reader:
        for at in (offset, len(whole) - 1 - offset, offset + 1):
            pieces = reader.read(at, limit)
            assert joined(pieces) == whole[at : at + limit]
            for piece in pieces:
                assert isinstance(piece, Chunk)
                line = whole.count(b"\n", 0, piece.offset)
                assert piece.stream == (OUT if line % 2 else ERR)


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The directory of a log made by `many`, and its bytes."""
    directory = tmp_path_factory.mktemp("long")
    return directory, many(directory)


def test_a_reader_sees_what_was_written_since_it_last_looked(tmp_path: Path) -> None:
    """Opened before there is a log, and kept while it grows."""
    with LogReader.open(tmp_path, "r") as reader:
        assert (reader.size, reader.oldest) == (0, 0)
        assert reader.read(0, 100) == []
        log = write(tmp_path, [(OUT, b"one", 0)])
        assert reader.read(0, 100) == [Chunk(0, b"one", OUT, 1_000_000)]
        assert reader.read(3, 100) == []
        log.append(b"two", ERR, time_us=7)
        assert reader.read(3, 100) == [Chunk(3, b"two", ERR, 7)]
        log.close()


def test_bytes_that_come_during_a_read_wait_for_the_next(tmp_path: Path) -> None:
    """The size is looked at before the index, whose last record may still be replaced."""
    log = write(tmp_path, [(OUT, b"one", 0)])

    class Interrupted(LogReader):
        def _checked_size(self, offset: int) -> int:
            size = super()._checked_size(offset)
            log.append(b"two", ERR, time_us=7)
            return size

    with Interrupted(tmp_path, "r") as reader:
        assert reader.read(0, 100) == [Chunk(0, b"one", OUT, 1_000_000)]
        assert reader.read_stream(ERR, 3, 100).pieces == (Chunk(3, b"two", ERR, 7),)
    log.close()


def test_the_time_of_a_chunk_is_utc() -> None:
    """With microseconds."""
    chunk = Chunk(0, b"x", OUT, 1_700_000_000_000_001)
    assert chunk.time == datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)


def test_a_long_chunk_comes_in_parts_and_short_ones_together(tmp_path: Path) -> None:
    """Up to the limit, from the middle of a chunk too."""
    write(tmp_path, [(OUT, b"a" * 10, 0), (ERR, b"b", 0), (ERR, b"c", 5000)]).close()
    with LogReader.open(tmp_path, "r") as reader:
        assert [piece.next for piece in reader.read(0, 4)] == [4]
        assert reader.read(8, 100) == [
            Chunk(8, b"aa", OUT, 1_000_000),
            Chunk(10, b"b", ERR, 1_000_000),
            Chunk(11, b"c", ERR, 1_005_000),
        ]


@pytest.mark.parametrize("offset", [-1, 4, 2**63])
def test_an_offset_outside_the_log_is_refused(tmp_path: Path, offset: int) -> None:
    """The error tells what there is."""
    write(tmp_path, [(OUT, b"abc", 0)]).close()
    with LogReader.open(tmp_path, "r") as reader:
        for read in (
            lambda: reader.read(offset, 10),
            lambda: reader.read_stream(OUT, offset, 10),
            lambda: reader.line_start_before(offset),
        ):
            with pytest.raises(RangeNotSatisfiable) as refused:
                read()
            assert (refused.value.oldest, refused.value.size) == (0, 3)


def test_a_stream_is_found_behind_much_of_another_in_bounded_steps(tmp_path: Path) -> None:
    """A call returns without a find rather than look through the whole log."""
    chunks = [(OUT, b"noise", 2000)] * MANY
    write(tmp_path, [*chunks, (ERR, b"found", 0)]).close()
    with LogReader.open(tmp_path, "r") as reader:
        part = reader.read_stream(ERR, 0, 100)
        assert part.pieces == ()
        assert 0 < part.next < reader.size
        assert joined(read_all_of(reader, ERR, 100)) == b"found"


def test_a_filter_passes_over_one_huge_chunk_without_reading_it(tmp_path: Path) -> None:
    """A sparse gigabyte of stdout is one span to whoever wants stderr."""
    log = write(tmp_path, [(OUT, b"x", 0)])
    os.truncate(log_path(tmp_path, "r"), 1 << 30)
    log.close()
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.read_stream(ERR, 5, 100).next == 1 << 30


def test_bytes_below_the_floor_are_a_gap(tmp_path: Path) -> None:
    """Told once, in full, and then the log goes on where it is kept."""
    write(tmp_path, [(OUT, b"0123456789", 0), (ERR, b"abcdef", 0)]).close()
    set_header(tmp_path, Header(floor=12, first=1))
    gap = Gap(3, 12, GapReason.TRIMMED)
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.oldest == 12
        assert reader.read(3, 2) == [gap]
        assert joined(read_all(reader, 3)) == b"cdef"
        part = reader.read_stream(OUT, 3, 2)
        assert (part.pieces, part.next) == ((gap,), 12)
        assert reader.line_start_before(4) == 12


def test_a_reader_under_way_never_sees_bytes_that_were_given_back(tmp_path: Path) -> None:
    """The floor is raised, and the bytes zeroed, just as they are read: it reports the gap."""

    class Overtaken(LogReader):
        def _pread(self, offset: int, count: int) -> bytes:
            set_header(tmp_path, Header(floor=5, first=0))
            with log_path(tmp_path, "r").open("r+b") as log:
                log.write(bytes(5))
            return super()._pread(offset, count)

    for read in (
        lambda reader: reader.read(2, 100),
        lambda reader: list(reader.read_stream(OUT, 2, 100).pieces),
    ):
        write(tmp_path, [(OUT, b"0123456789", 0)]).close()
        with Overtaken(tmp_path, "r") as reader:
            assert read(reader) == [Gap(2, 5, GapReason.TRIMMED)]
            assert joined(read_all(reader, 100, 5)) == b"56789"
        log_path(tmp_path, "r").unlink()
        index_path(tmp_path, "r").unlink()


def test_a_range_that_was_not_kept_is_one_gap_whatever_its_length(tmp_path: Path) -> None:
    """It counts in offsets, and comes as one piece even past the limit."""
    log = write(tmp_path, [(OUT, b"begin", 0)])
    os.truncate(log_path(tmp_path, "r"), 5 + 1_000_000)
    with index_path(tmp_path, "r").open("ab") as index:
        index.write(logindex.pack_record(Record(5, logindex.NOT_KEPT, 9)))
    log.close()
    log = LogWriter.create(tmp_path, "r")
    log.append(b"end", ERR, time_us=10)
    log.close()
    gap = Gap(5, 1_000_005, GapReason.NOT_KEPT)
    end = Chunk(1_000_005, b"end", ERR, 10)
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.read(0, 100) == [Chunk(0, b"begin", OUT, 1_000_000), gap]
        assert reader.read(1_000_005, 100) == [end]
        assert read_all_of(reader, ERR, 100) == [gap, end]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:0],
        lambda raw: bytes(len(raw)),
        lambda raw: raw[:100] + b"\xff" * 60,
        lambda raw: raw[:9000] + bytes(8192) + raw[17192:],
        lambda raw: b"no header".ljust(64) + raw[64:],
        lambda _: b"no index at all" * 50,
    ],
    ids=["lost", "zeroed", "scribbled", "holed", "headless", "foreign"],
)
def test_a_damaged_index_costs_no_byte(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Lost, zeroed or scribbled over: the bytes are all read, whoever they are said to be from."""
    whole = many(tmp_path)
    path = index_path(tmp_path, "r")
    path.write_bytes(damage(path.read_bytes()))
    with LogReader.open(tmp_path, "r") as reader:
        assert joined(read_all(reader, 1000)) == whole
        out, err = (joined(read_all_of(reader, stream, 1000)) for stream in Stream)
        assert len(out) + len(err) == len(whole)


@pytest.mark.parametrize("blank", [1, BLOCK_RECORDS, MANY])
def test_records_lost_at_the_end_cost_only_their_own_attribution(
    tmp_path: Path, blank: int
) -> None:
    """After a power cut the index may end in zeros; all before stays with its stream."""
    whole = many(tmp_path)
    with index_path(tmp_path, "r").open("ab") as index:
        index.write(bytes(blank * logindex.RECORD_SIZE))
    with LogReader.open(tmp_path, "r") as reader:
        expected = b"".join(
            line + b"\n" for number, line in enumerate(whole.split(b"\n")[:-1]) if number % 2 == 0
        )
        assert joined(read_all_of(reader, ERR, 1000)) == expected
        assert [piece.next for piece in reader.read(len(whole) - 1, 10)] == [len(whole)]


def test_a_log_of_a_newer_format_is_refused_clearly(tmp_path: Path) -> None:
    """Rather than shown wrong."""
    write(tmp_path, [(OUT, b"abc", 0)]).close()
    with index_path(tmp_path, "r").open("r+b") as index:
        index.seek(9)
        index.write(b"\2")
    with LogReader.open(tmp_path, "r") as reader, pytest.raises(StateDirError, match="format 2"):
        reader.read(0, 10)


def test_a_log_that_cannot_be_opened_is_storage_trouble(tmp_path: Path) -> None:
    """Not the same as one that is not there yet."""
    log_path(tmp_path, "r").symlink_to(log_path(tmp_path, "r"))
    reader = LogReader.open(tmp_path, "r")
    with pytest.raises(StorageUnavailable, match=r"r\.log cannot be read"):
        reader.read(0, 10)


@pytest.mark.parametrize(
    ("offset", "expected"), [(0, 0), (2, 0), (4, 4), (5, 4), (8, 4), (9, 9), (12, 9), (13, 9)]
)
def test_the_line_of_an_offset_is_found(tmp_path: Path, offset: int, expected: int) -> None:
    """The start of the line that the offset is in; itself if a line starts there."""
    write(tmp_path, [(OUT, b"one\nfour", 0), (ERR, b"\nnine", 0)]).close()
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.line_start_before(offset) == expected


def test_a_line_that_is_too_long_is_cut(tmp_path: Path) -> None:
    """The offset asked for is better than reading back for ever."""
    write(tmp_path, [(OUT, b"\n" + b"x" * 100, 0)]).close()
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.line_start_before(60, within=59) == 60
        assert reader.line_start_before(60, within=60) == 1
