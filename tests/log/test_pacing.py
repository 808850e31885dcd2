"""Chatty pipes are enlarged and rested, within a budget; all others are read at once."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor.log.capture import capture
from supervisor.log.logfile import log_path
from supervisor.log.logwriter import LogWriter
from supervisor.log.pacing import PAUSE_S, PIPE_BYTES, Pace, PipeBudget
from supervisor.model import Stream
from supervisor.units import KIB

LINES_FOR_EVER = "import os\nwhile True: os.write(1, b'x' * 99 + b'\\n')"


@pytest.fixture
def pipe() -> Iterator[int]:
    """A pipe's read end."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def held(fd: int) -> int:
    """How many bytes a pipe can hold."""
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


def pauses(pace: Pace, moved: int, *, every_s: float, count: int = 100) -> set[float]:
    """What it says to reads of `moved` bytes that come `every_s` after each other."""
    return {pace.pause_s(moved, number * every_s) for number in range(count)}


def test_whoever_writes_now_and_then_is_read_at_once(pipe: int) -> None:
    usual = held(pipe)
    with Pace(pipe, PipeBudget(PIPE_BYTES)) as pace:
        assert pauses(pace, 25, every_s=0.02) == {0.0}
        assert held(pipe) == usual


def test_whoever_writes_much_at_a_time_is_read_at_once(pipe: int) -> None:
    usual = held(pipe)
    with Pace(pipe, PipeBudget(PIPE_BYTES)) as pace:
        assert pauses(pace, 128 * KIB, every_s=0.0001) == {0.0}
        assert held(pipe) == usual


def test_a_chatty_pipe_is_enlarged_and_rested_until_it_is_quiet(pipe: int) -> None:
    with Pace(pipe, PipeBudget(PIPE_BYTES)) as pace:
        assert pauses(pace, 4096, every_s=0.001) == {0.0, PAUSE_S}
        assert held(pipe) == PIPE_BYTES
        assert pace.pause_s(4096, 100.0) == 0.0


def test_whoever_fills_a_pipe_while_many_viewers_are_told_is_chatty_too(pipe: int) -> None:
    """That reads are far between is our doing then."""
    with Pace(pipe, PipeBudget(PIPE_BYTES)) as pace:
        assert pauses(pace, 64 * KIB, every_s=0.02) == {0.0, PAUSE_S}
        assert held(pipe) == PIPE_BYTES


def test_without_budget_nothing_is_enlarged_and_nothing_rested(pipe: int) -> None:
    """A pipe of the usual size would be full long before the rest is over."""
    usual = held(pipe)
    budget = PipeBudget(2 * PIPE_BYTES - 1)
    other, end = os.pipe()
    with Pace(other, budget) as first:
        assert pauses(first, 4096, every_s=0.001) == {0.0, PAUSE_S}
        with Pace(pipe, budget) as second:
            assert pauses(second, 4096, every_s=0.001) == {0.0}
            assert held(pipe) == usual
    os.close(other)
    os.close(end)
    with Pace(pipe, budget) as third:  # the first gave back what it had
        assert pauses(third, 4096, every_s=0.001) == {0.0, PAUSE_S}


def test_what_is_no_pipe_is_never_rested(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, Pace(file.fileno(), PipeBudget()) as pace:
        assert pauses(pace, 10, every_s=0.0001) == {0.0}


async def test_what_came_first_is_stored_first_though_its_pipe_was_rested(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The other stream does not overtake it."""
    log = LogWriter.create(tmp_path, "r")
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(capture, out, log, Stream.STDOUT, PipeBudget(PIPE_BYTES))
        nursery.start_soon(capture, err, log, Stream.STDERR)
        while not log.rested:  # so many small writes that it is rested
            os.write(out_end, b"line\n")
            await wait_all_tasks_blocked()
        size = log.size
        os.write(out_end, b"the last line\n")
        os.write(err_end, b"oops\n")
        os.close(out_end)
        os.close(err_end)
    log.close()
    assert log_path(tmp_path, "r").read_bytes()[size:] == b"the last line\noops\n"


async def test_capture_enlarges_the_pipe_of_a_flood_of_lines(tmp_path: Path) -> None:
    log = LogWriter.create(tmp_path, "r")
    with (
        subprocess.Popen([sys.executable, "-c", LINES_FOR_EVER], stdout=subprocess.PIPE) as child,
        trio.fail_after(300),
    ):
        assert child.stdout
        fd = child.stdout.fileno()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, fd, log, Stream.STDOUT, PipeBudget(PIPE_BYTES))
            while held(fd) < PIPE_BYTES:
                await log.grew.wait()
            child.kill()
    log.close()
    assert log.size > 0
