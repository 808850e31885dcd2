"""Gives the oldest bytes of a log back, in place, so that all offsets stay (docs/log-format.md).

The floor is stored before anything is given back, so no reader ever takes zeros for output: it
looks at the floor after it has read.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from contextlib import ExitStack
from pathlib import Path

from supervisor.log import blocks, logindex
from supervisor.log.indexfile import IndexFile
from supervisor.log.logfile import index_path, log_path
from supervisor.log.logindex import Header
from supervisor.units import MIB

_log = logging.getLogger("runwire.log")

_AT_ONCE = 4 * MIB
"""Whoever writes to a file waits while a part of it is given back, and all of the server with it."""
_PAUSE_S = 0.0005
"""Gives a writer that waits its turn: who comes back at once may be let in again before it."""


def trim(directory: Path, run_id: str, floor: int) -> int:
    """Give back what lies before `floor`; the oldest offset that is kept from now on.

    It is `floor`, or the log's size if that is less, and never below what it was. Blocks until the
    floor is on disk: for a worker thread. A file system that cannot make holes keeps the bytes,
    but nobody sees them any more. Raises OSError.
    """
    with ExitStack() as files:
        log = os.open(log_path(directory, run_id), os.O_RDWR | os.O_CLOEXEC)
        files.callback(os.close, log)
        index = os.open(index_path(directory, run_id), os.O_RDWR | os.O_CLOEXEC)
        files.callback(os.close, index)
        reader = IndexFile(index_path(directory, run_id))
        files.callback(reader.close)
        before = reader.header()
        floor = min(floor, os.fstat(log).st_size)
        if floor <= before.floor:
            return before.floor
        first = reader.number_at(floor)
        os.pwrite(index, logindex.pack_header(Header(floor, first)), 0)
        os.fdatasync(index)
        try:
            _give_back(log, before.floor, floor)
            blocks.make_hole(index, logindex.HEADER_SIZE, logindex.position(first))
        except OSError as exc:
            if exc.errno not in {errno.EOPNOTSUPP, errno.ENOSYS}:
                raise
            _log.warning("this file system cannot give back a part of a file: %s", exc.strerror)
    return floor


def _give_back(log: int, before: int, floor: int) -> None:
    """In parts, but for what was given back when the floor was `before`, if nobody was killed then."""
    start = before - before % _AT_ONCE
    blocks.make_hole(log, 0, start)
    for begin in range(start, floor, _AT_ONCE):
        blocks.make_hole(log, begin, min(begin + _AT_ONCE, floor))
        time.sleep(_PAUSE_S)
