"""How the end of a run's first process is known, and what it ended with.

The child of this server is waited for (waitid(2)). One that an earlier server has made is nobody's
child that we know: its parent is whoever takes orphans, and once that one has reaped it, the kernel
tells those who hold its pidfd how it ended (PIDFD_GET_INFO, Linux 6.15). Before that kernel, a small
process that is its parent tells it, whichever server there is then (`launcher_child`).
"""

from __future__ import annotations

import fcntl
import functools
import os
import resource
import select
import socket
import struct
import subprocess
from typing import Protocol

import trio

_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_LINE_BYTES = 200
STATUS = "status"
"""The role of what a watched process's end is told by."""
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

    def status(self) -> int | None:
        """What it ended with, as wait(2) has it, if that is known. Only after it has ended."""

    def reap(self) -> tuple[int | None, resource.struct_rusage | None]:
        """The same, with what it used if that is known. Only after it has ended, and once."""

    def kept(self) -> dict[str, int]:
        """What else somebody has to have to know of it later: descriptors, by role."""

    def close(self) -> None:
        """Give back what is its own."""


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

    def kept(self) -> dict[str, int]:
        """See End."""
        return {}

    def close(self) -> None:
        """See End."""


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

    def kept(self) -> dict[str, int]:
        """See End."""
        return {}

    def close(self) -> None:
        """See End."""


class WatchedEnd:
    """The end of a process that another one watches, which tells of it in a line."""

    frees_number = True

    def __init__(self, told: int, pidfd: int, watcher: int | None = None) -> None:
        """Takes over the socket `told`, where it tells; `watcher` is its pid if it is our child.

        Nothing is taken out of there, so that a later server can be told as well.
        """
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=told)
        self._pidfd = pidfd
        self._watcher = watcher

    @property
    def come(self) -> bool:
        """See End. If nobody watches any more, as soon as it is gone."""
        said = self._said()
        return said is not None and (said != b"" or _readable(self._pidfd))

    async def wait(self) -> None:
        """See End."""
        while not self.come:
            fd = self._told.fileno() if self._said() is None else self._pidfd
            await trio.lowlevel.wait_readable(fd)

    def status(self) -> int | None:
        """See End; None if the one that watched it was killed."""
        return int(said.split()[0]) if (said := self._said()) else None

    def reap(self) -> tuple[int | None, resource.struct_rusage | None]:
        """See End."""
        if self._watcher is not None:
            os.waitpid(self._watcher, 0)  # It ends when it has told.
            self._watcher = None
        said = self._said()
        if not said:
            return None, None
        status, user_s, system_s, largest = said.split()
        used = (float(user_s), float(system_s), int(largest), *(0,) * 13)
        return int(status), resource.struct_rusage(used)

    def kept(self) -> dict[str, int]:
        """See End."""
        return {STATUS: self._told.fileno()}

    def close(self) -> None:
        """See End."""
        self._told.close()

    def _said(self) -> bytes | None:
        """What it has said: None for nothing yet, empty if it never will."""
        try:
            return self._told.recv(_LINE_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""


def _readable(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


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
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except ProcessLookupError:
        return None  # It is being reaped right now, and has lost its number (Linux, fs/pidfs.c).
    mask, *_others, status = _INFO.unpack(info)
    return status if mask & _PIDFD_INFO_EXIT else None
