"""What /proc tells about processes (proc(5)): who they are, whose they are, which run they bear.

Everything here is a look at something that may be gone a moment later, so a vanished process is
never an error, only absent. Signals go through pidfds (pidfd_open(2)) checked against the identity
seen, so that none ever reaches a process that merely got the same number.
"""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Iterator
from pathlib import Path

import trio
from msgspec import Struct

from supervisor.clock import boot_id
from supervisor.model import ProcessRef

_PROC = Path("/proc")
_STATE, _PPID, _PGRP, _SESSION, _START = 0, 1, 2, 3, 19
"""Positions in /proc/PID/stat counted after the command's closing parenthesis."""


class ProcessStat(Struct, frozen=True):
    """One process as /proc/PID/stat shows it. `zombie` means ended and not yet reaped."""

    pid: int
    command: str
    zombie: bool
    parent: int
    group: int
    session: int
    start_ticks: int


def read_stat(pid: int) -> ProcessStat | None:
    """The process, or None if there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command may itself contain spaces and parentheses; the last one closes it.
    start, end = text.index("("), text.rindex(")")
    fields = text[end + 2 :].split()
    return ProcessStat(
        pid=pid,
        command=text[start + 1 : end],
        zombie=fields[_STATE] in "ZX",
        parent=int(fields[_PPID]),
        group=int(fields[_PGRP]),
        session=int(fields[_SESSION]),
        start_ticks=int(fields[_START]),
    )


def identify(pid: int) -> ProcessRef:
    """The identity of a child of ours that has not been reaped, so it is surely there."""
    stat = read_stat(pid)
    assert stat is not None  # noqa: S101 - see above
    return ProcessRef(pid=pid, start_ticks=stat.start_ticks, boot_id=boot_id())


def living() -> Iterator[ProcessStat]:
    """Every process that has not ended."""
    for name in os.listdir(_PROC):  # noqa: PTH208 - names are all that is needed
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None and not stat.zombie:
                yield stat


def environment(pid: int) -> dict[bytes, bytes]:
    """The environment it was executed with; empty if it cannot be read or is gone."""
    try:
        block = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


async def wait_ended(process: ProcessStat) -> None:
    """Return when that process has ended, reaped or not."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        await trio.lowlevel.checkpoint()
        return
    try:
        await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


def send_signal(process: ProcessStat, signal: str) -> bool:
    """Send `signal` (such as `TERM`) to exactly that process. False if it is gone or not ours."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = read_stat(process.pid)
        if now is None or now.start_ticks != process.start_ticks:
            return False
        signals.pidfd_send_signal(pidfd, signals.Signals[f"SIG{signal}"])
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True
