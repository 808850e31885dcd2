"""Carries a run's output from a pipe into its log, and sees that it gets to the disk."""

from __future__ import annotations

from collections.abc import Collection

import trio

from supervisor.errors import StorageUnavailable
from supervisor.log.logwriter import MAX_SPLICE, LogWriter
from supervisor.log.pacing import PIPE_BYTES, Pace, PipeBudget
from supervisor.model import Stream
from supervisor.waits import then_cancel

RETRY_S = 1.0
"""How long to wait before storage that failed is tried again."""


async def capture(
    fd: int, log: LogWriter, stream: Stream, budget: PipeBudget | None = None
) -> None:
    """Move everything that comes out of `fd` into `log` until its end. Does not close `fd`.

    A pipe of many small writes is enlarged, if `budget` allows it, and read less often. What it
    holds meanwhile is moved before anything that another stream of the same log has written since.

    While the log cannot be written (disk full, I/O error), `fd` is not read, so its writer waits
    as soon as the pipe is full; `log.trouble` says why, and it goes on by itself. Likewise while the
    disk is too far behind. One turn moves at most MAX_SPLICE bytes, so that a flood does not hold up
    anyone else.
    """
    retry = False
    with Pace(fd, PipeBudget(0) if budget is None else budget) as pace:
        while True:
            if retry:
                await trio.sleep(RETRY_S)
            else:
                await trio.lowlevel.wait_readable(fd)
            if log.ahead:
                await _let_catch_up(log)
            try:
                if log.rested:
                    _move_rested(log)
                moved = log.splice(fd, stream)
            except BlockingIOError:
                retry = False
                continue
            except StorageUnavailable:
                retry = True
                continue
            if not moved:
                return
            retry = log.holds(stream)
            if pause_s := pace.pause_s(moved, trio.current_time()):
                log.rested[fd] = stream
                try:
                    await trio.sleep(pause_s)
                finally:
                    del log.rested[fd]


async def _let_catch_up(log: LogWriter) -> None:
    """Return when the disk is not too far behind any more, or that is not to be waited for."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(then_cancel, log.hurried.wait, nursery)
        while log.ahead:
            try:
                await trio.to_thread.run_sync(log.sync, abandon_on_cancel=True)
            except StorageUnavailable:
                await trio.sleep(RETRY_S)
        nursery.cancel_scope.cancel()


def capture_now(fd: int, log: LogWriter, stream: Stream) -> bool:
    """Move what `fd` holds at this moment into `log`; whether it has come to its end.

    No more than a pipe can hold, however fast somebody fills it again. Raises StorageUnavailable.
    """
    try:
        for _ in range(PIPE_BYTES // MAX_SPLICE + 1):
            if not log.splice(fd, stream):
                return True
    except BlockingIOError:
        pass
    return False


def _move_rested(log: LogWriter) -> None:
    """Move what is in the pipes that are left alone for a moment. Raises StorageUnavailable."""
    for fd, stream in log.rested.items():
        capture_now(fd, log, stream)


async def keep_synced(logs: Collection[LogWriter], every_s: float) -> None:
    """Every `every_s` seconds, put on disk what was written to any of `logs`. Never returns.

    `logs` is looked at anew each time. What fails is tried again, and `log.trouble` tells of it.
    """
    while True:
        await trio.sleep(every_s)
        for log in [log for log in logs if log.dirty]:
            try:
                await trio.to_thread.run_sync(log.sync, abandon_on_cancel=True)
            except StorageUnavailable:
                continue
