"""From a pipe into the log: byte-exact, live, fair, through a full disk and a SIGKILL."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from supervisor.log.capture import RETRY_S, capture, keep_synced
from supervisor.log.logfile import Chunk, LogReader, log_path
from supervisor.log.logwriter import LogWriter
from supervisor.model import Stream

OUT, ERR = Stream.STDOUT, Stream.STDERR
LIMIT = 1 << 20

RANDOM_ON_BOTH = """
import os, sys, threading
def send(fd, seed, count):
    block = b''.join(n.to_bytes(4, 'little') for n in range(seed, seed + 16384))
    for _ in range(count):
        os.write(fd, block[:len(block) - _ % 7])
threads = [threading.Thread(target=send, args=a) for a in ((1, 0, 320), (2, 10**6, 80))]
[t.start() for t in threads]; [t.join() for t in threads]
"""

LETTERS_FOR_EVER = """
import os, threading
def send(fd, letter, size):
    while True:
        os.write(fd, letter * size)
threading.Thread(target=send, args=(1, b'o', 3000), daemon=True).start()
send(2, b'e', 170)
"""

CAPTURE_IT = """
import subprocess, sys, trio
from pathlib import Path
from supervisor.log.capture import capture
from supervisor.log.logwriter import LogWriter
from supervisor.model import Stream
async def main():
    log = LogWriter.create(Path(sys.argv[1]), 'r')
    with subprocess.Popen([sys.executable, '-c', sys.argv[2]], stdout=-1, stderr=-1) as child:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, child.stdout.fileno(), log, Stream.STDOUT)
            nursery.start_soon(capture, child.stderr.fileno(), log, Stream.STDERR)
trio.run(main)
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogWriter]:
    """A fresh log of run `r`."""
    log = LogWriter.create(tmp_path, "r")
    yield log
    log.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's read and write end. The test closes the write end, if it wants an end."""
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file can grow past LIMIT bytes (setrlimit(2)), until `make_room`."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def make_room() -> None:
    """Let files grow again."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def streams_of(directory: Path) -> dict[Stream, bytes]:
    """What run `r`'s log holds of each stream."""
    found = dict.fromkeys(Stream, b"")
    with LogReader.open(directory, "r") as reader:
        for stream in Stream:
            parts: list[bytes] = []
            at = 0
            while at < reader.size:
                part = reader.read_stream(stream, at, 1 << 16)
                parts += [piece.data for piece in part.pieces if isinstance(piece, Chunk)]
                at = part.next
            found[stream] = b"".join(parts)
    return found


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose stdout and stderr are pipes, killed in the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def wait_until(condition: Callable[[], object]) -> None:
    """Return once it holds; looks every millisecond of Trio's clock, which may be one that jumps."""
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        await trio.sleep(0.001)


async def wait_size(log: LogWriter, size: int) -> None:
    """Return once the log has that many bytes."""
    while log.size < size:
        await log.grew.wait()


async def test_two_streams_are_stored_byte_exact_and_apart(log: LogWriter, tmp_path: Path) -> None:
    """20 MB on stdout and 5 MB on stderr at once, from a real process."""
    expected = {}
    for stream, seed, count in ((OUT, 0, 320), (ERR, 10**6, 80)):
        block = b"".join(n.to_bytes(4, "little") for n in range(seed, seed + 16384))
        expected[stream] = b"".join(block[: len(block) - n % 7] for n in range(count))
    command = [sys.executable, "-c", RANDOM_ON_BOTH]
    with started(command) as child, trio.fail_after(300):
        assert child.stdout
        assert child.stderr
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, child.stdout.fileno(), log, OUT)
            nursery.start_soon(capture, child.stderr.fileno(), log, ERR)
    assert streams_of(tmp_path) == expected


async def test_a_follower_sees_all_bytes_as_they_come(
    log: LogWriter, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    """Each wake-up carries no data: the follower reads at its own offset."""
    seen = b""
    with LogReader.open(tmp_path, "r") as reader, trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, pipe[0], log, OUT)
            for number in range(100):
                os.write(pipe[1], b"line %d\n" % number)
                while not (pieces := reader.read(len(seen), 1 << 16)):
                    await log.grew.wait()
                seen += b"".join(piece.data for piece in pieces if isinstance(piece, Chunk))
            os.close(pipe[1])
    assert seen == b"".join(b"line %d\n" % number for number in range(100))


async def test_an_end_without_output_leaves_an_empty_log(
    log: LogWriter, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    """And leaves nothing to sync."""
    os.close(pipe[1])
    await capture(pipe[0], log, OUT)
    assert not log.dirty
    assert streams_of(tmp_path) == {OUT: b"", ERR: b""}


async def test_a_flood_on_one_run_does_not_hold_up_another(
    log: LogWriter, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    """One line gets through while a neighbour never stops writing."""
    flood_log = LogWriter.create(tmp_path, "flood")
    with started(["yes"]) as flood, trio.fail_after(300):
        assert flood.stdout
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, flood.stdout.fileno(), flood_log, OUT)
            nursery.start_soon(capture, pipe[0], log, OUT)
            await wait_size(flood_log, 1 << 20)
            os.write(pipe[1], b"hello")
            await wait_size(log, 5)
            await wait_size(flood_log, flood_log.size + 1)
            nursery.cancel_scope.cancel()
    os.close(pipe[1])
    flood_log.close()


async def test_a_cancelled_capture_leaves_the_rest_in_the_pipe(
    log: LogWriter, pipe: tuple[int, int]
) -> None:
    """For whoever goes on with it: no byte is on its way."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(capture, pipe[0], log, OUT)
        os.write(pipe[1], b"taken")
        await wait_size(log, 5)
        nursery.cancel_scope.cancel()
        os.write(pipe[1], b"left")
    assert os.read(pipe[0], 100) == b"left"
    os.close(pipe[1])


@pytest.mark.usefixtures("full_disk")
async def test_a_full_disk_makes_the_writer_wait_and_loses_nothing(
    log: LogWriter, tmp_path: Path, pipe: tuple[int, int], autojump_clock: MockClock
) -> None:
    """It tells its trouble, tries again by itself, and goes on where it was."""
    log.append(bytes(LIMIT - 2), OUT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(capture, pipe[0], log, ERR)
        os.write(pipe[1], b"abcdef")
        await wait_size(log, LIMIT)
        await wait_until(lambda: log.trouble)
        await trio.sleep(10 * RETRY_S)
        assert log.trouble
        assert log.size == LIMIT
        make_room()
        os.close(pipe[1])
    assert log.trouble is None
    assert streams_of(tmp_path)[ERR] == b"abcdef"


@pytest.mark.parametrize("after_bytes", [1, 100_000, 3_000_000])
async def test_a_killed_capture_leaves_every_byte_with_its_stream(
    tmp_path: Path, after_bytes: int
) -> None:
    """SIGKILL in the middle of it all; then the log is gone on with."""
    command = [sys.executable, "-c", CAPTURE_IT, str(tmp_path), LETTERS_FOR_EVER]
    path = log_path(tmp_path, "r")
    with started(command) as capturing:
        await wait_until(lambda: path.exists() and path.stat().st_size >= after_bytes)
        capturing.kill()
        assert await trio.to_thread.run_sync(capturing.wait) == -signal.SIGKILL
    size = path.stat().st_size
    found = streams_of(tmp_path)
    assert found == {OUT: b"o" * len(found[OUT]), ERR: b"e" * len(found[ERR])}
    assert len(found[OUT]) + len(found[ERR]) == size
    log = LogWriter.create(tmp_path, "r")
    log.append(b"e", ERR)
    log.append(b"o", OUT)
    log.close()
    assert streams_of(tmp_path) == {OUT: found[OUT] + b"o", ERR: found[ERR] + b"e"}


async def test_logs_that_were_written_are_synced_by_and_by(
    log: LogWriter, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Each round takes those that are open then; the others are left in peace."""
    logs = {"r": log}
    other = LogWriter.create(tmp_path, "other")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(keep_synced, logs.values(), every_s=1))
        for now in (log, other):
            logs["other"] = other
            now.append(b"x", OUT)
            await wait_until(lambda: not log.dirty and not other.dirty)
        nursery.cancel_scope.cancel()
    other.close()


async def test_a_log_that_cannot_be_synced_is_tried_again(
    log: LogWriter, pipe: tuple[int, int], autojump_clock: MockClock
) -> None:
    """The trouble is told until it is over."""
    log.append(b"x", OUT)
    index = os.dup(log._index_fd)
    os.dup2(pipe[0], log._index_fd)  # a pipe cannot be synced
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(keep_synced, [log], every_s=1))
        await wait_until(lambda: log.trouble)
        assert log.trouble == "the log of run r cannot be synced: Invalid argument"
        os.dup2(index, log._index_fd)
        await wait_until(lambda: not log.dirty)
        assert log.trouble is None
        nursery.cancel_scope.cancel()
    os.close(index)
    os.close(pipe[1])
