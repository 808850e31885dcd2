"""Puts a run's log on disk."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from supervisor.errors import StorageUnavailable
from supervisor.log import blocks
from supervisor.statedir import sync_directory
from supervisor.units import MIB

AT_FAULT = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.EFBIG,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ENXIO,
        errno.ETIMEDOUT,
    }
)
"""Errors for which storage is at fault; anything else is a bug."""

FLOOD_BYTES = 32 * MIB
"""A log that has grown by that between two syncs is one that its writer would have to wait for."""
_MOST_RESERVED = 256 * MIB
_SHARE_OF_FREE = 16
"""Room is reserved only if there is so many times as much: it is not to be missed elsewhere."""

_FIRST_ALLOWANCE = 256 * MIB
_LEAST_ALLOWANCE, _MOST_ALLOWANCE = 16 * MIB, 1024 * MIB
_TELLING_BYTES = 8 * MIB
"""How long a sync of less takes says nothing of how fast the disk is."""


def allowance(synced: int, took_s: float) -> int:
    """How many bytes may be ahead of a disk that took `took_s` for `synced` bytes: a second's."""
    return max(_LEAST_ALLOWANCE, min(_MOST_ALLOWANCE, int(synced / max(took_s, 1e-6))))


class OnDisk:
    """How much of one log is on disk, and how much may be ahead of that.

    Whatever is written and not on disk is memory that the kernel wants back some day: it then has
    whoever writes wait, and who writes here is the whole server. So a program that writes faster
    than the disk takes it is held back before.

    While a file is being synced, the file system looks for blocks for what it has not put anywhere
    yet, and whoever writes to the file meanwhile may wait for that: tens of milliseconds on ext4,
    in which nobody's output moves. For a flood blocks are reserved first, in which its writer has
    nothing to wait for.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        """That of a run, in the directory of logs; nothing is there yet, as far as is known."""
        self.trouble: str | None = None
        """Why the last `sync` failed, in one line."""
        self._directory = directory
        self._run_id = run_id
        self.size = 0
        """How much there was at the last `sync`, or when the log was gone on with."""
        self.allowance = _FIRST_ALLOWANCE
        """By how many bytes more it may be ahead of the disk, in the light of how fast that is."""
        self._listed = False

    def sync(self, log_fd: int, index_fd: int, size: int, room: int) -> None:
        """Return when all that was written is on disk.

        `size` is that of the log, and `room` how many bytes more it may have. Blocks: for a worker
        thread, and for one at a time. Raises StorageUnavailable.
        """
        grown = size - self.size
        if grown >= FLOOD_BYTES:
            _reserve(log_fd, size, min(grown, room, _MOST_RESERVED))
        try:
            os.fdatasync(index_fd)
            begun = time.monotonic()
            os.fdatasync(log_fd)
            if grown >= _TELLING_BYTES:
                self.allowance = allowance(grown, time.monotonic() - begun)
            if not self._listed:
                sync_directory(self._directory)
                self._listed = True
        except OSError as exc:
            self.trouble = f"the log of run {self._run_id} cannot be synced: {exc.strerror}"
            raise StorageUnavailable(self.trouble) from exc
        self.size = size
        self.trouble = None


def _reserve(fd: int, size: int, count: int) -> None:
    """Have `count` bytes more at hand, if there is plenty; not every file system can do it."""
    with suppress(OSError):
        found = os.fstatvfs(fd)
        if count and count * _SHARE_OF_FREE <= found.f_bavail * found.f_frsize:
            blocks.reserve(fd, size, size + count)


def give_back_unused(fd: int) -> None:
    """Give back what a log has beyond its end, whoever reserved it. Nobody may write meanwhile."""
    with suppress(OSError):
        size = os.fstat(fd).st_size
        if size >= FLOOD_BYTES:  # else there was no flood
            os.ftruncate(fd, size)
