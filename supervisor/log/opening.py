"""Opens the files of logs."""

from __future__ import annotations

import os
from pathlib import Path


def open_quietly(path: Path, flags: int) -> int:
    """Open a file of ours, made with mode 0600 if that is asked for; its descriptor.

    When it was last read is not noted where that can be had (O_NOATIME, open(2)): that is a write
    for each read of a file that grows, and has the reader wait while the disk is busy. Raises
    OSError.
    """
    try:
        return os.open(path, flags | os.O_NOATIME, 0o600)
    except PermissionError:  # as for a file of somebody else's
        return os.open(path, flags, 0o600)
