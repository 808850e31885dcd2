"""Reading without waiting for a disk."""

import os
from pathlib import Path

import pytest

from supervisor.log import cached


def test_what_is_in_memory_is_read_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1024)
    with path.open("rb") as file:
        for count, offset in ((10, 0), (100_000, 7), (1000, 256 * 1024 - 10), (5, 256 * 1024)):
            assert cached.pread(file.fileno(), count, offset) == os.pread(
                file.fileno(), count, offset
            )


def test_a_file_system_that_cannot_tell_may_wait() -> None:
    """That of /proc, for one."""
    with Path("/proc/self/maps").open("rb") as file, pytest.raises(BlockingIOError):
        cached.pread(file.fileno(), 10, 0)


def test_any_other_fault_is_told() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        cached.pread(-1, 10, 0)
