"""A viewer's cursor over a log: replay and live are one loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from supervisor.live import LiveRun
from supervisor.log import cached
from supervisor.log.logfile import Chunk, Gap, GapReason, LogReader, Piece
from supervisor.log.logwriter import LogWriter
from supervisor.logview import LogView
from supervisor.model import Stream
from supervisor.spec import RunSpec
from supervisor.testing.rig import a_run
from tests.patience import PATIENCE_S
from web.api import logbody
from web.api.logbody import LogCursor, Wanted, merged, raw_bytes, start_offset

OUT, ERR = Stream.STDOUT, Stream.STDERR


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    """The log of run `run`, to be written."""
    with closing(LogWriter.create(tmp_path, "run")) as log:
        yield log


@pytest.fixture
def live() -> LiveRun:
    """A run that has not ended."""
    return LiveRun(a_run(RunSpec(argv=("true",), cwd="/")), [])


async def read(directory: Path, wanted: Wanted, live: LiveRun | None = None) -> bytes:
    with LogView(directory, "run", live) as view, trio.fail_after(PATIENCE_S):
        return b"".join([piece async for piece in raw_bytes(LogCursor(view, wanted))])


async def test_what_is_wanted_is_what_comes(tmp_path: Path, writer: LogWriter) -> None:
    writer.append(b"aaaa", OUT)
    writer.append(b"BBBB", ERR)
    writer.append(b"cccc", OUT)
    assert await read(tmp_path, Wanted(0, None)) == b"aaaaBBBBcccc"
    assert await read(tmp_path, Wanted(2, 6)) == b"aaBB"
    assert await read(tmp_path, Wanted(2, 10, OUT)) == b"aacc"
    assert await read(tmp_path, Wanted(2, 6, ERR)) == b"BB"
    assert await read(tmp_path, Wanted(12, None)) == b""
    assert await read(tmp_path, Wanted(5, 5)) == b""


async def test_a_large_log_comes_whole_however_far_behind_the_viewer_is(
    tmp_path: Path, writer: LogWriter
) -> None:
    block = bytes(range(256)) * 1024
    for number in range(20):
        writer.append(block, OUT if number % 2 else ERR)
    assert await read(tmp_path, Wanted(0, None)) == block * 20
    assert await read(tmp_path, Wanted(0, None, OUT)) == block * 10
    assert await read(tmp_path, Wanted(1, len(block) * 20 - 1)) == (block * 20)[1:-1]


@pytest.mark.parametrize("in_memory", [True, False])
async def test_what_is_far_behind_is_read_by_a_thread_only_if_a_disk_may_have_it(
    in_memory: bool, tmp_path: Path, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    real = LogReader.read

    def pread(fd: int, count: int, offset: int) -> bytes:
        if not in_memory:
            raise BlockingIOError
        return os.pread(fd, count, offset)

    def watched(reader: LogReader, offset: int, limit: int) -> list[Piece]:
        pieces = real(reader, offset, limit)
        threads.add(threading.get_ident())
        return pieces

    monkeypatch.setattr(logbody, "_FAR_BYTES", 0)
    monkeypatch.setattr(cached, "pread", pread)
    monkeypatch.setattr(LogReader, "read", watched)
    for number in range(300):
        writer.append(b"%d\n" % number, OUT if number % 2 else ERR)
    whole = b"".join(b"%d\n" % number for number in range(300))
    assert await read(tmp_path, Wanted(0, None)) == whole
    assert (threads == {threading.get_ident()}) is in_memory


async def test_many_tiny_writes_come_whole(tmp_path: Path, writer: LogWriter) -> None:
    for number in range(5000):
        writer.append(b"%d\n" % number, OUT if number % 2 else ERR)
    whole = b"".join(b"%d\n" % number for number in range(5000))
    assert await read(tmp_path, Wanted(0, None)) == whole
    odd = b"".join(b"%d\n" % number for number in range(1, 5000, 2))
    assert await read(tmp_path, Wanted(0, None, OUT)) == odd


async def test_at_the_end_of_a_live_log_the_viewer_waits_to_be_woken(
    tmp_path: Path, writer: LogWriter, live: LiveRun
) -> None:
    with LogView(tmp_path, "run", live) as view, trio.fail_after(PATIENCE_S):
        cursor = LogCursor(view, Wanted(0, None))
        async with trio.open_nursery() as nursery:
            got: list[Piece] = []

            async def wait() -> None:
                got.extend(await cursor.advance() or [])

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            live.changed.fire()  # a wake-up too many is harmless
            await trio.testing.wait_all_tasks_blocked()
            assert not got
            writer.append(b"new", OUT)
            live.changed.fire()
        assert [(piece.offset, piece.next) for piece in got] == [(0, 3)]
        assert cursor.at == 3


async def test_a_stream_that_is_silent_moves_on_all_the_same(
    tmp_path: Path, writer: LogWriter, live: LiveRun
) -> None:
    writer.append(b"noise", ERR)
    with LogView(tmp_path, "run", live) as view, trio.fail_after(PATIENCE_S):
        cursor = LogCursor(view, Wanted(0, None, OUT))
        async with trio.open_nursery() as nursery:

            async def find_the_end() -> None:
                assert await cursor.advance() is None

            nursery.start_soon(find_the_end)
            await trio.testing.wait_all_tasks_blocked()
            assert cursor.at == 5
            live.log_complete = True
            live.changed.fire()


async def test_the_last_bytes_are_not_lost_when_the_log_completes_meanwhile(
    tmp_path: Path, writer: LogWriter, live: LiveRun
) -> None:
    with LogView(tmp_path, "run", live) as view, trio.fail_after(PATIENCE_S):
        cursor = LogCursor(view, Wanted(0, None))
        writer.append(b"last", OUT)
        live.log_complete = True
        pieces = await cursor.advance()
        assert pieces is not None
        assert [(piece.offset, piece.next) for piece in pieces] == [(0, 4)]
        assert await cursor.advance() is None


def test_below_zero_is_that_far_from_the_end_at_the_start_of_a_line(
    tmp_path: Path, writer: LogWriter
) -> None:
    writer.append(b"one\ntwo\nthree\n", OUT)
    with LogView(tmp_path, "run", None) as view:
        assert [start_offset(view, at) for at in (0, 5, 99)] == [0, 5, 99]
        assert [start_offset(view, at) for at in (-1, -6, -7, -99)] == [8, 8, 4, 0]


PIECES = st.lists(st.tuples(st.sampled_from(["out", "err", "gap"]), st.integers(1, 5)), max_size=12)


@given(PIECES)
def test_merging_changes_how_many_pieces_there_are_and_nothing_else(
    shape: list[tuple[str, int]],
) -> None:
    pieces: list[Piece] = []
    at = 0
    for kind, size in shape:
        if kind == "gap":
            pieces.append(Gap(at, at + size, GapReason.NOT_KEPT))
        else:
            data = bytes(range(at, at + size))
            pieces.append(Chunk(at, data, OUT if kind == "out" else ERR, at))
        at += size

    def told(of: list[Piece]) -> list[tuple[int, object]]:
        return [
            (piece.offset + number, "gap" if isinstance(piece, Gap) else piece.stream)
            for piece in of
            for number in range(piece.next - piece.offset)
        ]

    result = merged(pieces)
    assert told(result) == told(pieces)
    chunks = [piece for piece in result if isinstance(piece, Chunk)]
    assert b"".join(chunk.data for chunk in chunks) == b"".join(
        piece.data for piece in pieces if isinstance(piece, Chunk)
    )
    for before, after in pairwise(result):
        if isinstance(before, Chunk) and isinstance(after, Chunk):
            assert before.stream is not after.stream
