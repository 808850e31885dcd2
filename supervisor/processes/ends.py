"""How the end of a run's first process is known, and what it ended with.

The child of this server is waited for (waitid(2)). One that an earlier server has made is nobody's
child that we know: its parent is whoever takes orphans, and once that one has reaped it, the kernel
tells those who hold its pidfd how it ended (PIDFD_GET_INFO, Linux 6.15).
"""

from __future__ import annotations

import fcntl
import functools
import os
import resource
import select
import struct
import subprocess
from typing import Protocol

import trio

_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_INFO = struct.Struct("=QQ11Ii")
"""struct pidfd_info of 64 bytes: what it holds, the control group's id, eleven ids, the status."""


class End(Protocol):
    """That of one process."""

    frees_number: bool
    """Whether its number may already be another's when it has ended."""

    @property
    def come(self) -> bool:
        """Whether it has ended."""

    async def wait(self) -> None:
        """Return when it has ended. For one task at a time."""

    def status(self) -> int:
        """What it ended with, as wait(2) has it, and nothing changes. Only after it has ended."""

    def reap(self) -> tuple[int, resource.struct_rusage | None]:
        """The same, with what it used if that is known. Only after it has ended, and once."""


class ChildEnd:
    """The end of a child of this process, which stays a zombie until it is reaped here."""

    frees_number = False

    def __init__(self, pid: int, pidfd: int) -> None:
        """`pidfd` stays the caller's to close."""
        self._pid = pid
        self._pidfd = pidfd

    @property
    def come(self) -> bool:
        """See End (waitid(2) with WNOWAIT)."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PIDFD, self._pidfd, options) is not None

    async def wait(self) -> None:
        """See End."""
        while not self.come:
            await trio.lowlevel.wait_readable(self._pidfd)

    def status(self) -> int:
        """See End."""
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
        assert result is not None  # noqa: S101 - no WNOHANG
        if result.si_code == os.CLD_EXITED:
            return result.si_status << 8
        return result.si_status

    def reap(self) -> tuple[int, resource.struct_rusage | None]:
        """See End."""
        _pid, status, rusage = os.wait4(self._pid, 0)
        return status, rusage


class OrphanEnd:
    """The end of a process that somebody else reaps. Only where `tells_status`."""

    frees_number = True

    def __init__(self, pidfd: int) -> None:
        """`pidfd` stays the caller's to close."""
        self._pidfd = pidfd

    @property
    def come(self) -> bool:
        """See End: not before it has been reaped."""
        return _exit_status(self._pidfd) is not None

    async def wait(self) -> None:
        """See End."""
        # A zombie makes a pidfd readable, and EPOLLHUP says that it is gone: pidfd_open(2).
        with select.epoll() as gone:
            gone.register(self._pidfd, 0)
            while not self.come:
                await trio.lowlevel.wait_readable(gone.fileno())

    def status(self) -> int:
        """See End."""
        status = _exit_status(self._pidfd)
        assert status is not None  # noqa: S101 - it has ended
        return status

    def reap(self) -> tuple[int, resource.struct_rusage | None]:
        """See End; of a process that was reaped before, nobody tells what it used."""
        return self.status(), None


@functools.cache
def tells_status() -> bool:
    """Whether this kernel tells how a process ended that somebody else has reaped. Blocks."""
    with subprocess.Popen(["/bin/true"]) as process:
        pidfd = os.pidfd_open(process.pid)
        try:
            process.wait()
            return _exit_status(pidfd) is not None
        except OSError:
            return False
        finally:
            os.close(pidfd)


def _exit_status(pidfd: int) -> int | None:
    """What it ended with, as wait(2) has it; None before it has been reaped.

    Raises OSError where the kernel has no such call.
    """
    info = bytearray(_INFO.pack(_PIDFD_INFO_EXIT, *(0,) * 13))
    fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    mask, *_others, status = _INFO.unpack(info)
    return status if mask & _PIDFD_INFO_EXIT else None
