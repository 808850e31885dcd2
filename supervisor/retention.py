"""What of the past is kept: old runs are forgotten, and the logs of others given back, by themselves.

Only runs that have ended, the oldest first. Without a limit nothing ever goes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import trio
from msgspec import Struct

from supervisor import clock
from supervisor.errors import NoSuchRun, RunNotEnded, StateDirError, StorageUnavailable
from supervisor.log.trimming import trim
from supervisor.model import SYSTEM
from supervisor.service import Supervisor
from supervisor.spec import Retention

_EVERY_S = 60.0
_BATCH = 200
_ALL = 2**62
_LAST_BLOCK = 4096
"""What may remain of a log that was given back."""

_log = logging.getLogger("runwire.retention")


class StoredLog(Struct, frozen=True):
    """A run's log and index on disk: when it was last written, and the bytes it takes there."""

    run_id: str
    written: float
    disk_bytes: int


async def keep_tidy(supervisor: Supervisor) -> None:
    """Keep to the supervisor's `retention`, now and once a minute. Never returns."""
    while True:
        try:
            await tidy(supervisor, supervisor.retention)
        except StorageUnavailable as exc:
            _log.warning("old runs cannot be tidied up now: %s", exc.message)
        await trio.sleep(_EVERY_S)


async def tidy(supervisor: Supervisor, retention: Retention) -> None:
    """Forget and give back what is too old or too much. Raises StorageUnavailable."""
    forgotten = 0
    if retention.age_s is not None:
        forgotten += await _forget_older(supervisor, timedelta(seconds=retention.age_s))
    if retention.runs is not None:
        forgotten += await _forget_more(supervisor, retention.runs)
    if forgotten:
        _log.info("%d old runs were forgotten", forgotten)
    if retention.bytes is not None:
        await _give_back(supervisor, retention.bytes)


async def _forget_older(supervisor: Supervisor, age: timedelta) -> int:
    """Forget runs that ended longer ago; stops at the first batch in which none did."""
    forgotten = 0
    while True:
        before = clock.now().wall - age
        oldest = await supervisor.oldest_ended(_BATCH)
        expired = [run_id for run_id, ended_at in oldest if ended_at < before]
        if not expired:
            return forgotten
        forgotten += await _forget(supervisor, expired)


async def _forget_more(supervisor: Supervisor, count: int) -> int:
    """Forget the oldest runs, but for `count`."""
    excess = await supervisor.count_ended() - count
    forgotten = 0
    while forgotten < excess:
        oldest = await supervisor.oldest_ended(min(_BATCH, excess - forgotten))
        if not oldest:
            break
        forgotten += await _forget(supervisor, [run_id for run_id, _ended_at in oldest])
    return forgotten


async def _forget(supervisor: Supervisor, run_ids: Collection[str]) -> int:
    for run_id in run_ids:
        with suppress(NoSuchRun, RunNotEnded):  # Somebody else was quicker.
            await supervisor.delete(run_id, SYSTEM)
    return len(run_ids)


async def _give_back(supervisor: Supervisor, limit: int) -> None:
    """Empty the logs of the oldest runs until all logs together take no more than `limit`."""
    stored = await trio.to_thread.run_sync(stored_logs, supervisor.logs)
    for log in too_many(stored, limit, supervisor.live_runs()):
        if log.run_id in supervisor.live_runs():
            continue  # It was deleted meanwhile, and there is another run of that id.
        try:
            await trio.to_thread.run_sync(trim, supervisor.logs, log.run_id, _ALL)
        except FileNotFoundError:
            continue
        except StateDirError as exc:
            _log.warning("the log of run %s cannot be given back: %s", log.run_id, exc.message)
            continue
        except OSError as exc:
            raise StorageUnavailable(f"log {log.run_id} cannot be emptied: {exc.strerror}") from exc
        _log.info("the log of run %s was given back: %d bytes", log.run_id, log.disk_bytes)


def stored_logs(directory: Path) -> list[StoredLog]:
    """Every log there is. Blocks: for a worker thread. Raises StorageUnavailable."""
    found = []
    try:
        for entry in os.scandir(directory):
            if entry.name.endswith(".log"):
                with suppress(FileNotFoundError):
                    told = entry.stat()
                    run_id = entry.name.removesuffix(".log")
                    found.append(StoredLog(run_id, told.st_mtime, told.st_blocks * 512))
    except OSError as exc:
        raise StorageUnavailable(f"{directory} cannot be read: {exc.strerror}") from exc
    return found


def too_many(logs: Collection[StoredLog], limit: int, live: Collection[str]) -> list[StoredLog]:
    """Which logs have to go, oldest first, so that all take no more than `limit`. Pure.

    Those of `live` runs count, but stay.
    """
    excess = sum(log.disk_bytes for log in logs) - limit
    chosen = []
    for log in sorted(logs, key=lambda log: log.written):
        if excess <= 0:
            break
        if log.disk_bytes > _LAST_BLOCK and log.run_id not in live:
            chosen.append(log)
            excess -= log.disk_bytes
    return chosen
