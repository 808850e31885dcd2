"""A log that lost its index: what was given back or not kept is told as missing, never as zeros."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.log.holes import written
from supervisor.log.logfile import Chunk, Gap, GapReason, LogReader, index_path
from supervisor.log.logwriter import LogWriter
from supervisor.log.repair import mend, needs_mending
from supervisor.log.trimming import trim
from supervisor.model import Stream
from supervisor.spec import LogLimit, OnFull
from supervisor.units import KIB

LINE = b"0123456789abcde\n"
BLOCK = 4 * KIB

Loss = Callable[[Path], None]


def unlink(index: Path) -> None:
    index.unlink()


def zero(index: Path) -> None:
    index.write_bytes(bytes(index.stat().st_size))


def scribble(index: Path) -> None:
    index.write_bytes(b"?" * index.stat().st_size)


def keep_header(index: Path) -> None:
    """Only that; a floor in it is still good."""
    os.truncate(index, 64)


losses = pytest.mark.parametrize("lose", [unlink, zero, scribble, keep_header])


def told(logs: Path) -> tuple[dict[int, bytes], list[Gap]]:
    """The bytes that can be read of the log, by where they begin, and what it says is missing."""
    data: dict[int, bytes] = {}
    gaps: list[Gap] = []
    at = 0
    with LogReader.open(logs, "r") as reader:
        while at < reader.size:
            for piece in reader.read(at, 3 * BLOCK):
                at = piece.next
                if isinstance(piece, Chunk):
                    data[piece.offset] = piece.data
                else:
                    gaps.append(piece)
    return data, gaps


def mended(logs: Path, size: int) -> None:
    with LogReader.open(logs, "r") as reader:
        assert needs_mending(reader, size)
    mend(logs, "r", size)
    with LogReader.open(logs, "r") as reader:
        assert not needs_mending(reader, size)


def check(logs: Path, whole: bytes) -> tuple[dict[int, bytes], list[Gap]]:
    """All that is told as output was written just so, and nothing is left out in silence."""
    data, gaps = told(logs)
    assert all(whole[at : at + len(piece)] == piece for at, piece in data.items())
    assert sum(map(len, data.values())) + sum(gap.next - gap.offset for gap in gaps) == len(whole)
    return data, gaps


@losses
@pytest.mark.parametrize("floor", [1, 100, BLOCK, BLOCK + 1, 3 * BLOCK + 1000])
def test_a_log_that_was_trimmed_knows_its_floor_again(
    tmp_path: Path, lose: Loss, floor: int
) -> None:
    whole = LINE * 1500
    log = LogWriter.create(tmp_path, "r")
    log.append(whole, Stream.STDOUT)
    log.close()
    trim(tmp_path, "r", floor)
    lose(index_path(tmp_path, "r"))
    mended(tmp_path, len(whole))
    data, gaps = check(tmp_path, whole)
    assert gaps == [Gap(0, floor, GapReason.TRIMMED)]
    assert b"".join(data.values()) == whole[floor:]


@losses
def test_a_log_that_was_given_back_altogether_stays_empty(tmp_path: Path, lose: Loss) -> None:
    whole = LINE * 1500
    log = LogWriter.create(tmp_path, "r")
    log.append(whole, Stream.STDOUT)
    log.close()
    trim(tmp_path, "r", len(whole))
    lose(index_path(tmp_path, "r"))
    if lose is not keep_header:
        mended(tmp_path, len(whole))
    assert told(tmp_path) == ({}, [Gap(0, len(whole), GapReason.TRIMMED)])


@losses
@pytest.mark.parametrize("more", [1, 1000, 5 * BLOCK])
def test_what_a_full_log_did_not_keep_is_not_kept(tmp_path: Path, lose: Loss, more: int) -> None:
    kept = 2 * BLOCK + 16
    log = LogWriter.create(tmp_path, "r", LogLimit(kept, OnFull.STOP_CAPTURE))
    log.append((LINE * 2000)[:kept], Stream.STDOUT)
    log.append(b"x" * more, Stream.STDOUT)
    log.close()
    lose(index_path(tmp_path, "r"))
    mended(tmp_path, kept + more)
    data, gaps = check(tmp_path, (LINE * 2000)[:kept] + b"x" * more)
    assert gaps == [Gap(kept, kept + more, GapReason.NOT_KEPT)]
    assert sum(map(len, data.values())) == kept


def test_a_writer_that_goes_on_after_a_crash_tells_what_its_index_lost(tmp_path: Path) -> None:
    """A power cut took the last record, which said that nothing was kept any more."""
    limit = LogLimit(2 * BLOCK + 16, OnFull.STOP_CAPTURE)
    log = LogWriter.create(tmp_path, "r", limit)
    log.append((LINE * 2000)[: 2 * BLOCK + 16], Stream.STDERR)
    log.append(b"x" * 5 * BLOCK, Stream.STDERR)
    log.close()
    index = index_path(tmp_path, "r")
    os.truncate(index, index.stat().st_size - 16)
    log = LogWriter.create(tmp_path, "r", limit)
    log.append(b"y", Stream.STDOUT)
    log.close()
    _, gaps = told(tmp_path)
    assert [(gaps[0].offset, gaps[-1].next)] == [(2 * BLOCK + 16, 7 * BLOCK + 17)]
    with LogReader.open(tmp_path, "r") as reader:
        first = reader.read(0, 10)[0]
        assert isinstance(first, Chunk)
        assert first.stream is Stream.STDERR


def test_zeros_that_a_run_wrote_stay_where_the_index_tells_so(tmp_path: Path) -> None:
    whole = bytes(BLOCK) + LINE + bytes(3 * BLOCK)
    log = LogWriter.create(tmp_path, "r")
    log.append(whole, Stream.STDOUT)
    log.close()
    with LogReader.open(tmp_path, "r") as reader:
        assert not needs_mending(reader, len(whole))
    assert told(tmp_path) == ({0: whole[: 3 * BLOCK], 3 * BLOCK: whole[3 * BLOCK :]}, [])


@given(
    pieces=st.lists(st.tuples(st.booleans(), st.integers(1, 3 * BLOCK)), min_size=1, max_size=8),
    start=st.integers(0, BLOCK),
)
def test_nothing_is_taken_for_written_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[bool, int]], start: int
) -> None:
    path = tmp_path_factory.mktemp("holes") / "file"
    wanted: list[bool] = []
    with path.open("wb") as file:
        for there, length in pieces:
            if there:
                file.write(b"x" * length)
            else:
                file.seek(length, os.SEEK_CUR)
            wanted += [there] * length
        file.truncate(len(wanted))
    with path.open("rb") as file:
        found = written(file.fileno(), min(start, len(wanted)), len(wanted), known=False)
        for begin, end in found:
            inside = os.pread(file.fileno(), end - begin, begin)
            assert inside[:1] + inside[-1:] == b"xx"
            lost = [at for at in range(begin, end) if not wanted[at]]
            assert len(lost) < 2 * BLOCK * len(pieces)
    covered = {at for begin, end in found for at in range(begin, end)}
    assert all(at in covered for at in range(min(start, len(wanted)), len(wanted)) if wanted[at])
