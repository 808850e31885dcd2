"""When to let a pipe fill up, so that what comes in many small writes is moved in few large steps.

A program that writes line after line wakes its reader for each. Resting a moment between reads
lets it write on, if the pipe has room for that: so only pipes that were enlarged are rested.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from supervisor.units import KIB, MIB

PIPE_BYTES = 1 * MIB
"""What an enlarged pipe holds: as much as anybody may ask for, see pipe(7)."""
PAUSE_S = 0.001
_SMALL_BYTES = 128 * KIB
"""Whoever writes as much as that at a time need not be waited for."""
_QUICK_S = 0.003
_BUSY_BYTES = 32 * KIB
"""Half of what a pipe holds: whoever has written that meanwhile was quick, however slow we are."""
_CHATTY = 16
"""So many quick reads in a row make a program chatty."""
_SOFT_LIMIT = Path("/proc/sys/fs/pipe-user-pages-soft")
_USUAL_SOFT_PAGES = 16384


class PipeBudget:
    """By how many bytes the pipes of all runs may be enlarged together.

    The kernel bounds what the pipes of a user hold in all, and once that is reached every new one
    is tiny (pipe(7), pipe-user-pages-soft). Half of it is left for everything else.
    """

    def __init__(self, size: int | None = None) -> None:
        """`size` in bytes, if not half of what the kernel allows a user."""
        self._free = _half_of_a_users() if size is None else size

    def enlarge(self, fd: int) -> bool:
        """Have pipe `fd` hold PIPE_BYTES. False if that cannot be: no pipe, or no budget."""
        if self._free < PIPE_BYTES:
            return False
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            return False
        self._free -= PIPE_BYTES
        return True

    def give_back(self) -> None:
        """A pipe that was enlarged is about to be closed."""
        self._free += PIPE_BYTES


class Pace:
    """How long to rest after each read of one pipe. Use as a context manager around all of them."""

    def __init__(self, fd: int, budget: PipeBudget) -> None:
        """`fd` is the pipe; it is enlarged out of `budget` as soon as that helps."""
        self._fd = fd
        self._budget = budget
        self._quick = 0
        self._last = float("-inf")
        self._enlarged = False

    def pause_s(self, moved: int, now: float) -> float:
        """For how many seconds to leave the pipe alone after a read of `moved` bytes at `now`."""
        quick = now - self._last < _QUICK_S or moved >= _BUSY_BYTES
        self._last = now
        self._quick = self._quick + 1 if quick else 0
        if self._quick < _CHATTY or moved >= _SMALL_BYTES:
            return 0.0
        if not self._enlarged:
            self._enlarged = self._budget.enlarge(self._fd)
            self._quick = 0
            return 0.0
        return PAUSE_S

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Give back what was taken of the budget."""
        if self._enlarged:
            self._budget.give_back()


def _half_of_a_users() -> int:
    try:
        pages = int(_SOFT_LIMIT.read_text())
    except (OSError, ValueError):
        pages = _USUAL_SOFT_PAGES
    return (pages or _USUAL_SOFT_PAGES) * os.sysconf("SC_PAGE_SIZE") // 2
