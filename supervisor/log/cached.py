"""Reads what is in memory already, for those who must not wait for a disk."""

from __future__ import annotations

import errno
import os


def pread(fd: int, count: int, offset: int) -> bytes:
    """As os.pread; raises BlockingIOError if the page cache has not all of it (preadv(2))."""
    buffer = bytearray(count)
    done = 0
    view = memoryview(buffer)
    while done < count:
        try:
            got = os.preadv(fd, [view[done:]], offset + done, os.RWF_NOWAIT)
        except OSError as exc:
            if exc.errno == errno.EOPNOTSUPP:  # so may say a file system that cannot tell
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from exc
            raise
        if not got:
            break
        done += got
    return bytes(view[:done])
