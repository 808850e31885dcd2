"""A log that has a limit: what is kept of it, and that everybody is told of the rest."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from supervisor.log import logindex
from supervisor.log.capture import capture, keep_synced
from supervisor.log.logfile import Chunk, Gap, GapReason, LogReader, Piece, index_path, log_path
from supervisor.log.logwriter import LogWriter
from supervisor.log.trimming import trim
from supervisor.model import Stream
from supervisor.spec import LogLimit, OnFull
from supervisor.units import KIB, MIB

OUT, ERR = Stream.STDOUT, Stream.STDERR
Make = Callable[[OnFull, int], LogWriter]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    logs: list[LogWriter] = []

    def create(on_full: OnFull, max_bytes: int) -> LogWriter:
        logs.append(LogWriter.create(tmp_path, "r", LogLimit(max_bytes, on_full)))
        return logs[-1]

    yield create
    for log in logs:
        log.close()


def read(directory: Path, start: int = 0) -> list[Piece]:
    """All pieces from `start` on; they follow each other without a hole."""
    with LogReader.open(directory, "r") as reader:
        pieces: list[Piece] = []
        while found := reader.read(pieces[-1].next if pieces else start, 100 * KIB):
            pieces += found
        ends = [start, *(piece.next for piece in pieces)]
        assert [piece.offset for piece in pieces] == ends[:-1]
        assert ends[-1] == reader.size
        return pieces


def kept(pieces: list[Piece]) -> bytes:
    return b"".join(piece.data for piece in pieces if isinstance(piece, Chunk))


def gaps(pieces: list[Piece]) -> list[Gap]:
    return [piece for piece in pieces if isinstance(piece, Gap)]


def blocks(path: Path) -> int:
    """The bytes that a file has on disk."""
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("on_full", [OnFull.STOP_CAPTURE, OnFull.FAIL])
def test_what_comes_when_it_is_full_is_counted_and_not_kept(
    make: Make, tmp_path: Path, on_full: OnFull
) -> None:
    log = make(on_full, 10)
    assert log.append(b"0123456", OUT) == 7
    assert not log.overflowed
    assert log.append(b"789abc", ERR) == 3
    assert not log.overflowed
    assert log.append(b"abc", ERR) == 3
    assert log.append(b"defg", OUT) == 4
    assert (log.size, log.overflowed) == (17, True)
    pieces = read(tmp_path)
    assert kept(pieces) == b"0123456789"
    assert gaps(pieces) == [Gap(10, 17, GapReason.NOT_KEPT)]
    assert gaps(read(tmp_path, 12)) == [Gap(12, 17, GapReason.NOT_KEPT)]
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.last_bytes(ERR, 10, 2) == b"89"
        assert reader.last_bytes(ERR, 12, 2) == b""
        assert reader.read_stream(ERR, 0, 100).pieces == (
            Chunk(7, b"789", ERR, pieces[1].time_us if isinstance(pieces[1], Chunk) else 0),
            Gap(10, 17, GapReason.NOT_KEPT),
        )


def test_it_stays_so_for_whoever_goes_on_with_the_log(make: Make, tmp_path: Path) -> None:
    log = make(OnFull.STOP_CAPTURE, 10)
    log.append(b"0123456789", OUT)
    log.append(b"more", OUT)
    log.close()
    again = make(OnFull.STOP_CAPTURE, 10)
    assert again.size == 14
    again.append(b"and more", ERR)
    pieces = read(tmp_path)
    assert (kept(pieces), gaps(pieces)) == (b"0123456789", [Gap(10, 22, GapReason.NOT_KEPT)])


async def test_a_full_log_does_not_hold_up_its_pipe(make: Make, tmp_path: Path) -> None:
    """A pipe is moved to its end, far beyond the limit."""
    log = make(OnFull.STOP_CAPTURE, 100 * KIB)
    data = os.urandom(3 * MIB)
    async with trio.open_nursery() as nursery:
        ours, theirs = os.pipe()
        nursery.start_soon(trio.to_thread.run_sync, write_all, theirs, data)
        with trio.fail_after(60):
            await capture(ours, log, OUT)
        os.close(ours)
    pieces = read(tmp_path)
    assert kept(pieces) == data[: 100 * KIB]
    assert gaps(pieces) == [Gap(100 * KIB, 3 * MIB, GapReason.NOT_KEPT)]
    assert blocks(log_path(tmp_path, "r")) < 200 * KIB


def write_all(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def test_the_oldest_bytes_are_given_back(make: Make, tmp_path: Path) -> None:
    """Whole, exact, at the same offsets; and the disk has room again."""
    log = make(OnFull.TRUNCATE_HEAD, 256 * KIB)
    whole = b"".join(b"%07d\n" % number for number in range(MIB // 8))
    for start in range(0, len(whole), 5000):
        log.append(whole[start : start + 5000], OUT if start % 2 else ERR)
    assert log.oldest == 0
    log.sync()
    assert log.oldest == len(whole) - 256 * KIB
    pieces = read(tmp_path)
    assert gaps(pieces) == [Gap(0, log.oldest, GapReason.TRIMMED)]
    assert kept(pieces) == whole[log.oldest :]
    assert blocks(log_path(tmp_path, "r")) <= 300 * KIB
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.oldest == log.oldest
        assert kept(reader.read(log.oldest + 77, 1000)) == whole[log.oldest + 77 :][:1000]
    log.append(b"the end", OUT)
    assert kept(read(tmp_path, log.size - 7)) == b"the end"


def test_it_is_given_back_in_parts_between_which_its_writer_has_its_turn(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, though: the part that was begun last time as well."""
    holes: list[tuple[int, int]] = []
    monkeypatch.setattr("supervisor.log.trimming._AT_ONCE", 64 * KIB)
    monkeypatch.setattr(
        "supervisor.log.blocks.make_hole", lambda _fd, begin, end: holes.append((begin, end))
    )
    log = make(OnFull.TRUNCATE_HEAD, 64 * KIB)
    for _ in range(2):
        log.append(bytes(300 * KIB), OUT)
        log.sync()
    index_begins = logindex.HEADER_SIZE
    first, second = 236 * KIB, 536 * KIB
    parts = [(begin, min(begin + 64 * KIB, first)) for begin in range(0, first, 64 * KIB)]
    again = [(0, 192 * KIB)]
    more = [(begin, min(begin + 64 * KIB, second)) for begin in range(192 * KIB, second, 64 * KIB)]
    assert [(begin, end) for begin, end in holes if begin != index_begins and end > begin] == [
        *parts,
        *again,
        *more,
    ]


def test_where_no_holes_can_be_made_it_is_out_of_sight_and_that_is_told_once(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_fd: int, _start: int, _end: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("supervisor.log.trimming._AT_ONCE", 64 * KIB)
    monkeypatch.setattr("supervisor.log.blocks.make_hole", refuse)
    log = make(OnFull.TRUNCATE_HEAD, 64 * KIB)
    log.append(bytes(300 * KIB), OUT)
    log.sync()
    assert log.oldest == 236 * KIB
    assert gaps(read(tmp_path)) == [Gap(0, 236 * KIB, GapReason.TRIMMED)]
    assert [record.message for record in caplog.records] == [
        "this file system cannot give back a part of a file: Operation not supported"
    ]


def test_a_little_too_much_is_not_worth_the_while(make: Make) -> None:
    log = make(OnFull.TRUNCATE_HEAD, 800)
    log.append(b"x" * 900, OUT)
    log.sync()
    assert (log.oldest, log.dirty) == (0, False)
    log.append(b"x", OUT)
    log.sync()
    assert (log.oldest, log.dirty) == (101, False)


async def test_a_log_is_cut_while_its_run_goes_on(
    make: Make, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    log = make(OnFull.TRUNCATE_HEAD, 100 * KIB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_synced, [log], 1.0)
        for _ in range(5):
            log.append(b"y" * MIB, OUT)
            while log.dirty:  # noqa: ASYNC110 - on a clock that jumps
                await trio.sleep(1)
            assert log.size - log.oldest == 100 * KIB
        nursery.cancel_scope.cancel()
    assert blocks(log_path(tmp_path, "r")) <= 200 * KIB


@pytest.mark.parametrize("cut", [1, 4096, 12_345, 60_000, 10**9])
def test_a_cut_index_finds_what_is_kept(make: Make, tmp_path: Path, cut: int) -> None:
    """Also for a reader that was before the cut, and for a writer that goes on."""
    log = make(OnFull.TRUNCATE_HEAD, 10**9)
    whole = b"".join(b"%06d\n" % number for number in range(9000))
    for start in range(0, len(whole), 7):
        log.append(whole[start : start + 7], OUT if start % 2 else ERR, time_us=1 + start * 1000)
    with LogReader.open(tmp_path, "r") as reader:
        assert kept(reader.read(0, 700)) != b""
        floor = trim(tmp_path, "r", cut)
        assert floor == min(cut, len(whole))
        assert reader.oldest == floor
        assert gaps(reader.read(0, 700)) == [Gap(0, floor, GapReason.TRIMMED)]
        pieces = reader.read(floor, 700)
        assert kept(pieces) == whole[floor:][: len(kept(pieces))]
    assert trim(tmp_path, "r", 0) == floor
    log.close()
    with closing(LogWriter.create(tmp_path, "r")) as again:
        assert (again.oldest, again.size) == (floor, len(whole))
        again.append(b"more", OUT)
    assert kept(read(tmp_path)) == (whole + b"more")[floor:]
    streams = {piece.stream for piece in read(tmp_path)[:20] if isinstance(piece, Chunk)}
    assert floor == len(whole) or streams == {OUT, ERR}
    assert index_path(tmp_path, "r").exists()
