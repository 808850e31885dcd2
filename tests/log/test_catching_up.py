"""Who writes faster than the disk takes it waits in time, before the kernel has the server wait."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio

from supervisor.executors.local import LocalExecutor
from supervisor.log import ondisk
from supervisor.log.capture import capture
from supervisor.log.logfile import log_path
from supervisor.log.logwriter import MAX_SPLICE, LogWriter
from supervisor.model import StopRequest, Stream
from supervisor.outcome import Exited, StopCause
from supervisor.processes.launcher import Launcher
from supervisor.spec import RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console, wait_until
from supervisor.units import KIB, MIB

ALLOWANCE = 64 * KIB
SIZE = 3 * MIB
FORCE = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER, force=True)


class Disk:
    """Has whoever syncs wait until it is idle."""

    def __init__(self) -> None:
        self.idle = threading.Event()
        self.asked = 0
        self.failures = 0

    def fdatasync(self, _fd: int) -> None:
        """See fdatasync(2)."""
        self.asked += 1
        assert self.idle.wait(60)
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """One that is busy, and of which nobody knows how fast it is."""
    disk = Disk()
    monkeypatch.setattr(os, "fdatasync", disk.fdatasync)
    monkeypatch.setattr(ondisk, "_FIRST_ALLOWANCE", ALLOWANCE)
    monkeypatch.setattr(ondisk, "_LEAST_ALLOWANCE", ALLOWANCE)
    yield disk
    disk.idle.set()


@contextmanager
def flood(size: int = SIZE) -> Iterator[int]:
    """The pipe of a program that writes so many bytes, all of them zero."""
    command = ["head", "-c", str(size), "/dev/zero"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        os.set_blocking(program.stdout.fileno(), False)
        yield program.stdout.fileno()


async def test_a_flood_waits_for_the_disk_and_nobody_else_does(disk: Disk, tmp_path: Path) -> None:
    with (
        closing(LogWriter.create(tmp_path, "flood")) as log,
        closing(LogWriter.create(tmp_path, "other")) as other,
        flood() as pipe,
        flood(1000) as slow_pipe,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, pipe, log, Stream.STDOUT)
            await wait_until(lambda: disk.asked > 0)
            size = log.size
            assert ALLOWANCE < size <= ALLOWANCE + MAX_SPLICE
            await capture(slow_pipe, other, Stream.STDOUT)
            assert (other.size, log.size) == (1000, size)
            disk.idle.set()
        assert log.size == SIZE
        assert log_path(tmp_path, "flood").read_bytes() == bytes(SIZE)


async def test_what_is_left_when_a_program_has_ended_waits_no_more(
    disk: Disk, tmp_path: Path
) -> None:
    with closing(LogWriter.create(tmp_path, "flood")) as log, flood() as pipe:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, pipe, log, Stream.STDOUT)
            await wait_until(lambda: disk.asked > 0)
            log.hurried.set()
        assert log.size == SIZE
        disk.idle.set()
        log.sync(whole=True)


async def test_a_flood_that_is_stopped_is_told_to_its_last_byte_however_busy_the_disk_is(
    disk: Disk, tmp_path: Path
) -> None:
    launcher = Launcher()
    executor = LocalExecutor(launcher, instance=f"catching-up-{os.getpid()}", drain_s=0.5)
    run = a_run(RunSpec(argv=("cat", "/dev/zero"), cwd="/"), "flood")
    with closing(launcher), open_console(tmp_path, run) as rig:
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                await wait_until(lambda: disk.asked > 0)
                rig.stop.ask(FORCE)

            nursery.start_soon(stop)
            outcome = await executor.execute(run, rig.console)
        disk.idle.set()
        assert isinstance(outcome, Exited)
        assert outcome.output_complete
        assert not rig.output().strip(b"\0")


async def test_a_disk_that_fails_is_waited_for_too(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.log.capture.RETRY_S", 0.001)
    disk.failures = 3
    disk.idle.set()
    with closing(LogWriter.create(tmp_path, "flood")) as log, flood() as pipe:
        await capture(pipe, log, Stream.STDOUT)
        assert disk.failures == 0
        assert log.size == SIZE


@pytest.mark.parametrize(
    ("synced", "took_s", "allowance"),
    [
        (100 * MIB, 1.0, 100 * MIB),
        (100 * MIB, 0.25, 400 * MIB),
        (10 * MIB, 4.0, 16 * MIB),
        (500 * MIB, 0.1, 1024 * MIB),
        (500 * MIB, 0.0, 1024 * MIB),
    ],
)
def test_a_second_s_worth_may_be_ahead_of_the_disk(
    synced: int, took_s: float, allowance: int
) -> None:
    assert ondisk.allowance(synced, took_s) == allowance
