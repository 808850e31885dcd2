"""Both clocks: the wall clock is for people, the monotonic one for durations."""

from __future__ import annotations

import time
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.clock import after, boot_id, now, seconds_until
from supervisor.model import Moment


def test_now_is_now_on_both_clocks_of_this_boot() -> None:
    earlier = time.monotonic_ns()
    moment = now()
    assert earlier <= moment.mono_ns <= time.monotonic_ns()
    assert moment.wall.tzinfo is UTC
    assert moment.boot_id == boot_id()
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@given(st.floats(-1e6, 1e6))
def test_after_moves_both_clocks_alike(seconds: float) -> None:
    start = now()
    moved = after(start, seconds)
    assert (moved.mono_ns - start.mono_ns) / 1e9 == pytest.approx(seconds, abs=1e-6)
    assert (moved.wall - start.wall).total_seconds() == pytest.approx(seconds, abs=1e-5)
    assert moved.boot_id == start.boot_id


def test_a_wall_clock_set_back_does_not_move_a_deadline_of_this_boot() -> None:
    deadline = after(now(), 60)
    jumped = Moment(deadline.wall - timedelta(hours=1), deadline.mono_ns, deadline.boot_id)
    assert 0 < seconds_until(jumped) <= 60


def test_a_deadline_of_an_earlier_boot_goes_by_the_wall_clock() -> None:
    deadline = Moment(after(now(), 60).wall, 1, "an earlier boot")
    assert 0 < seconds_until(deadline) <= 60


def test_what_has_passed_is_below_zero() -> None:
    assert seconds_until(after(now(), -1)) < 0
