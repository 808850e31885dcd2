"""What was written to a log of which the index knows nothing any more, as far as the log itself tells.

What was given back, and what was not kept, are holes in the file. They are read as zeros, and so
are the edges of what was written in the first and the last block beside a hole. Zeros there may
have been written all the same, which nobody can know: they are not told as output.
"""

from __future__ import annotations

import os

from supervisor.sparse import extents
from supervisor.units import KIB

_MOST = 64 * KIB


def written(fd: int, start: int, size: int, *, known: bool) -> list[tuple[int, int]]:
    """What was surely written from `start` up to `size`, as offsets from and to, in order.

    `known` says that `start` and `size` are edges of what was written; else zeros there are left
    out too. Raises OSError.
    """
    found = []
    for begin, end in extents(fd, start, size):
        first = begin if known and begin == start else _after_zeros(fd, begin, end)
        last = end if known and end == size else _before_zeros(fd, first, end)
        if first < last:
            found.append((first, last))
    return found


def _after_zeros(fd: int, begin: int, end: int) -> int:
    data = os.pread(fd, min(_near(fd), end - begin), begin)
    return begin + len(data) - len(data.lstrip(b"\0"))


def _before_zeros(fd: int, begin: int, end: int) -> int:
    start = max(begin, end - _near(fd))
    return start + len(os.pread(fd, end - start, start).rstrip(b"\0"))


def _near(fd: int) -> int:
    """Zeros without a hole between them can reach from within one block into the next."""
    return 2 * min(_MOST, os.fstat(fd).st_blksize)
