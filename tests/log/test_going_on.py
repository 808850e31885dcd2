"""A log is gone on with where its writer was killed, without a look at all that it has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from supervisor.log import logindex, logwriter
from supervisor.log.logfile import LogReader, index_path, log_path
from supervisor.log.logindex import RECORD_SIZE, Header, Record
from supervisor.log.logwriter import LogWriter
from supervisor.model import Stream
from supervisor.units import KIB, MIB


def make(directory: Path, records: Sequence[Record], size: int, damaged: int = 0) -> None:
    """A log of `size` bytes, and its index, of which the last `damaged` records are zeros."""
    raw = b"".join(map(logindex.pack_record, records[: len(records) - damaged]))
    raw += bytes(damaged * RECORD_SIZE)
    index_path(directory, "r").write_bytes(logindex.pack_header(Header()) + raw)
    with log_path(directory, "r").open("wb") as log:
        log.truncate(size)


def records_of(starts: Sequence[int]) -> list[Record]:
    return [Record(start, 1 + number % 2, 1 + number) for number, start in enumerate(starts)]


@given(
    steps=st.lists(st.integers(1, 20), min_size=1, max_size=80),
    damaged=st.integers(0, 80),
    cut=st.integers(0, 400),
)
def test_what_is_damaged_at_the_end_is_found_however_far_it_reaches(
    steps: list[int], damaged: int, cut: int
) -> None:
    starts = [sum(steps[:count]) for count in range(len(steps))]
    size = max(1, sum(steps) - cut)
    records = records_of(starts)
    damaged = min(damaged, len(records) - 1)
    sound = min(len(records) - damaged, sum(start < size for start in starts))
    with (
        TemporaryDirectory() as name,
        mock.patch.object(logwriter, "_MAY_BE_DAMAGED", 3),
    ):
        directory = Path(name)
        make(directory, records, size, damaged)
        with closing(LogWriter.create(directory, "r")) as log:
            assert log._count == sound
            assert log._last == records[sound - 1]
        expected = logindex.HEADER_SIZE + sound * RECORD_SIZE
        assert index_path(directory, "r").stat().st_size == expected


def test_a_long_index_is_not_read_as_a_whole(tmp_path: Path) -> None:
    """That of a run that has written for weeks has gigabytes."""
    count = 500_000
    make(tmp_path, records_of(range(count)), count)
    read: list[int] = []
    real = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        data = real(fd, length, offset)
        read.append(len(data))
        return data

    with mock.patch.object(os, "pread", counted):
        log = LogWriter.create(tmp_path, "r")
    assert sum(read) <= MIB + 64 * KIB
    with closing(log):
        log.append(b"more", Stream.STDERR)
    with LogReader.open(tmp_path, "r") as reader:
        [piece] = reader.read(count, 10)
        assert piece.offset == count
        assert reader.read(1000, 1)[0].offset == 1000
