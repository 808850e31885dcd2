"""A run's log as one viewer sees it: a reader, a wake-up, and whether more can come."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from supervisor.live import LiveRun
from supervisor.log.logfile import Chunk, LogReader
from supervisor.pulse import Pulse


class LogView:
    """Read `reader` at your own offset; at its end, wait on `changed` unless `complete`.

    Look at `complete` before you read: if it was True and the read reached `reader.size`, that
    was everything. Nothing is lost as long as no await stands between the read and the wait.
    """

    def __init__(self, directory: Path, run_id: str, live: LiveRun | None) -> None:
        """`live` is None for a run that has ended."""
        self._reader = LogReader.open(directory, run_id)
        self.changed = live.changed if live is not None else Pulse()
        self._live = live

    @property
    def reader(self) -> LogReader:
        """The log. Its writer knows the end of it without looking."""
        self._reader.tail = None if self._live is None else self._live.log
        return self._reader

    @property
    def size(self) -> int:
        """The offset one past the last byte so far."""
        live = self._live
        if live is None or live.log is None:
            return self.reader.size
        return live.log.size

    def newest(self, offset: int, limit: int) -> Chunk | None:
        """Up to `limit` bytes from `offset` on, if they are the last ones, of one stream, and live.

        None if they are not, or cannot be read: `reader` tells.
        """
        live = self._live
        return None if live is None or live.log is None else live.log.newest(offset, limit)

    @property
    def complete(self) -> bool:
        """True once no further byte can come."""
        return self._live is None or self._live.log_complete

    @property
    def ended(self) -> bool:
        """True once the run's end is on disk; the log is complete then."""
        return self._live is None or self._live.ended.is_set()

    async def wait_ended(self) -> None:
        """Return once the run's end is on disk."""
        if self._live is not None:
            await self._live.ended.wait()

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close."""
        self.close()
