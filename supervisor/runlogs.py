"""The logs of the runs that are being carried out: opened as soon as they can be, kept on disk."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio

from supervisor.errors import StorageUnavailable
from supervisor.live import LiveRun
from supervisor.log.capture import RETRY_S, keep_synced
from supervisor.log.logwriter import LogWriter
from supervisor.log.repair import set_aside

_log = logging.getLogger("runwire.engine")


class RunLogs:
    """The writers of all open logs, in the directory of logs."""

    def __init__(self, directory: Path) -> None:
        """None is open yet."""
        self._directory = directory
        self._open: dict[str, LogWriter] = {}

    def make_way(self, run_id: str) -> None:
        """Have nobody take what another run has left under its name for the run's own, as it waits.

        If that fails now, it is done before it begins.
        """
        with suppress(StorageUnavailable):
            set_aside(self._directory, run_id)

    async def open(self, live: LiveRun, *, unless_stopped: bool = False) -> LogWriter | None:
        """The run's log, as soon as it can be opened; `live.trouble` tells why it cannot be yet.

        With `unless_stopped` it is a log that nobody has written to, and None if a stop is asked for
        before there is one.
        """
        while live.stop.request is None or not unless_stopped:
            try:
                if unless_stopped:
                    set_aside(self._directory, live.run.id)
                log = LogWriter.create(self._directory, live.run.id, live.run.spec.log_limit)
            except StorageUnavailable as exc:
                live.trouble = exc.message
                with trio.move_on_after(RETRY_S):
                    await (live.stop.wait_asked if unless_stopped else trio.sleep_forever)()
            else:
                live.trouble = None
                log.grew = live.changed
                self._open[live.run.id] = log
                return log
        return None

    def close(self, log: LogWriter) -> None:
        """No more is written to it."""
        del self._open[log.run_id]
        log.close()

    def troubles(self) -> list[str]:
        """Why bytes cannot be stored right now, a line for each log of which that is so."""
        return [log.trouble for log in self._open.values() if log.trouble is not None]

    async def keep_synced(self, every_s: float) -> None:
        """Put what runs wrote on disk every `every_s` seconds. Never returns."""
        await keep_synced(self._open.values(), every_s)


async def sync_whole(log: LogWriter) -> None:
    """Put all of a log on disk that has come to its end. If that fails, `keep_synced` has told why."""
    if log.size:
        try:
            await trio.to_thread.run_sync(partial(log.sync, whole=True))
        except StorageUnavailable as exc:
            _log.error("%s", exc.message)
