"""Where a file has holes, and copies without them: what was given back of a log takes no room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from supervisor.units import MIB

_CANNOT = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def copy_sparse(source: int, target: int) -> int:
    """Copy what the open file `source` has now to `target`, which is empty; returns its size.

    Bytes that are added meanwhile are left out. File systems that can share blocks do so
    (copy_file_range(2)). Raises OSError.
    """
    size = os.fstat(source).st_size
    for begin, end in extents(source, 0, size):
        _copy(source, target, begin, end)
    os.ftruncate(target, size)
    return size


def extents(fd: int, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Where there are data, as offsets from and to (lseek(2), SEEK_DATA). Raises OSError."""
    at = start
    while at < size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                return
            raise
        at = min(size, os.lseek(fd, begin, os.SEEK_HOLE))
        yield begin, max(begin, at)


def _copy(source: int, target: int, at: int, end: int) -> None:
    while at < end:
        try:
            done = os.copy_file_range(source, target, end - at, at, at)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            done = os.pwrite(target, os.pread(source, min(MIB, end - at), at), at)
        if not done:  # it is shorter now: what is missing was taken away, not written
            return
        at += done
