"""Both clocks at once, and which boot of the machine they belong to."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from supervisor.model import Moment


@functools.cache
def boot_id() -> str:
    """This boot's id, from /proc/sys/kernel/random/boot_id (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def now() -> Moment:
    """The present, as wall clock (UTC) and CLOCK_MONOTONIC."""
    return Moment(
        wall=datetime.now(UTC),
        mono_ns=time.monotonic_ns(),
        boot_id=boot_id(),
    )


def after(moment: Moment, seconds: float) -> Moment:
    """The moment `seconds` later, on both clocks."""
    return Moment(
        wall=moment.wall + timedelta(seconds=seconds),
        mono_ns=moment.mono_ns + round(seconds * 1e9),
        boot_id=moment.boot_id,
    )


def seconds_until(moment: Moment) -> float:
    """Seconds from now to `moment`, below zero if it has passed.

    Monotonic within one boot; across boots the wall clock is all there is.
    """
    if moment.boot_id == boot_id():
        return (moment.mono_ns - time.monotonic_ns()) / 1e9
    return (moment.wall - now().wall).total_seconds()
