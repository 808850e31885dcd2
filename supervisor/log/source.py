"""What a pipe or terminal has right now, without waiting for more."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import sys
import termios

from supervisor.units import KIB

MAX_COPY = 128 * KIB


def waits_in(fd: int) -> int:
    """How many bytes can be read from `fd` now."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def read_ready(fd: int) -> bytes:
    """What `fd` has now, up to MAX_COPY, set non-blocking or not; empty at its end.

    Raises BlockingIOError if there is nothing now.
    """
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    if not poller.poll(0):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    try:
        return os.read(fd, MAX_COPY)
    except ConnectionResetError:
        return b""
    except OSError as exc:
        if exc.errno == errno.EIO:  # how a terminal says that its other end is closed: pty(7)
            return b""
        raise
