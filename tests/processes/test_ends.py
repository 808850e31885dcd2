"""How the end of a process is known that somebody else reaps."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
from collections.abc import Iterator

import pytest
import trio

from supervisor.processes.ends import OrphanEnd, tells_status


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that ends with 3 as soon as its stdin does; the test is who reaps it."""
    if not tells_status():
        pytest.skip("this kernel tells nothing of who was reaped")
    with subprocess.Popen(["sh", "-c", "read _; exit 3"], stdin=subprocess.PIPE) as process:
        yield process


@pytest.fixture
def end(process: subprocess.Popen[bytes]) -> Iterator[OrphanEnd]:
    pidfd = os.pidfd_open(process.pid)
    yield OrphanEnd(pidfd)
    os.close(pidfd)


async def test_it_has_come_when_it_was_reaped(
    process: subprocess.Popen[bytes], end: OrphanEnd
) -> None:
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not end.come
    process.wait()
    with trio.fail_after(60):
        await end.wait()
    assert end.reap() == (3 << 8, None)


async def test_in_the_moment_in_which_it_is_reaped_it_is_asked_for_again(
    process: subprocess.Popen[bytes], end: OrphanEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux then says that there is no such process, and how it ended a little later."""
    process.communicate()
    ask, refusals = fcntl.ioctl, [errno.ESRCH] * 3

    def ask_too_early(fd: int, request: int, argument: bytearray) -> object:
        if refusals:
            raise ProcessLookupError(refusals.pop(), "No such process")
        return ask(fd, request, argument)

    monkeypatch.setattr(fcntl, "ioctl", ask_too_early)
    with trio.fail_after(60):
        await end.wait()
    assert refusals == []
    assert end.status() == 3 << 8
