"""Since when a run has written nothing, and whether that may be a buffer's doing."""

from __future__ import annotations

import time
from pathlib import Path

import trio

from supervisor.log.logfile import log_path
from supervisor.model import Run, Status
from supervisor.processes.buffering import suspect
from supervisor.spec import OutputMode
from supervisor.wire import Silence

NOTED_S = 10.0
"""Less is no silence."""


async def silence_of(run: Run, logs: Path) -> Silence | None:
    """What there is to say of a run whose log is in `logs`; None if it is not silent.

    A run on a terminal may be waiting for somebody, so it is never called silent.
    """
    if run.status is not Status.RUNNING or run.paused_at is not None or run.process is None:
        return None
    if run.spec.output is OutputMode.PTY or run.exited_at is not None:
        return None
    try:
        wrote_at = log_path(logs, run.id).stat().st_mtime
    except OSError:
        return None
    if run.started_at is not None:
        wrote_at = max(wrote_at, run.started_at.timestamp())
    for_s = time.time() - wrote_at
    if for_s < NOTED_S:
        return None
    hint = await trio.to_thread.run_sync(suspect, run.process, abandon_on_cancel=True)
    return Silence(for_s=round(for_s, 1), hint=hint)
