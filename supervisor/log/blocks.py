"""Which blocks of the disk a file has, whatever its size says (fallocate(2))."""

from __future__ import annotations

import ctypes
import os

_KEEP_SIZE, _PUNCH_HOLE = 1, 2


def reserve(fd: int, start: int, end: int) -> None:
    """Have blocks for what will be written from `start` to `end`; the size stays. Raises OSError."""
    _fallocate(fd, _KEEP_SIZE, start, end)


def make_hole(fd: int, start: int, end: int) -> None:
    """Give whole blocks from `start` to `end` back, and zero the rest of them. Raises OSError."""
    if end > start:
        _fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, start, end)


def _fallocate(fd: int, mode: int, start: int, end: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, mode, ctypes.c_int64(start), ctypes.c_int64(end - start)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
