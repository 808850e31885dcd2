"""Puts a run's log on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from supervisor.errors import StorageUnavailable
from supervisor.log import blocks
from supervisor.statedir import sync_directory
from supervisor.units import MIB

FLOOD_BYTES = 32 * MIB
"""A log that has grown by that between two syncs is one that its writer would have to wait for."""
_MOST_AHEAD = 256 * MIB
_SHARE_OF_FREE = 16
"""Room is reserved only if there is so many times as much: it is not to be missed elsewhere."""


class OnDisk:
    """How much of one log is on disk.

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
        """How much there was at the last `sync`."""
        self._listed = False

    def sync(self, log_fd: int, index_fd: int, size: int, room: int) -> None:
        """Return when all that was written is on disk.

        `size` is that of the log, and `room` how many bytes more it may have. Blocks: for a worker
        thread, and for one at a time. Raises StorageUnavailable.
        """
        grown, self.size = size - self.size, size
        if grown >= FLOOD_BYTES:
            _reserve(log_fd, size, min(grown, room, _MOST_AHEAD))
        try:
            os.fdatasync(index_fd)
            os.fdatasync(log_fd)
            if not self._listed:
                sync_directory(self._directory)
                self._listed = True
        except OSError as exc:
            self.trouble = f"the log of run {self._run_id} cannot be synced: {exc.strerror}"
            raise StorageUnavailable(self.trouble) from exc
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
