"""A wake-up without data: everyone who waits is woken, and whoever looks first misses nothing."""

from __future__ import annotations

import trio
import trio.testing

from supervisor.pulse import Pulse


async def test_it_wakes_everyone_who_waits() -> None:
    pulse = Pulse()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(pulse.wait)
            await trio.testing.wait_all_tasks_blocked()
            pulse.fire()


async def test_it_is_not_kept_for_those_who_come_later() -> None:
    pulse = Pulse()
    pulse.fire()
    woken = False

    async def wait() -> None:
        nonlocal woken
        await pulse.wait()
        woken = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not woken
        pulse.fire()
    assert woken


async def test_look_then_wait_misses_nothing() -> None:
    """Readers at any pace see the last value, with no queue and no lock."""
    pulse = Pulse()
    size = 0

    async def follow(pace: int) -> None:
        seen = 0
        while seen < 100:
            if size > seen:
                seen = size
                for _ in range(pace):
                    await trio.lowlevel.checkpoint()
            else:
                await pulse.wait()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for pace in range(10):
                nursery.start_soon(follow, pace)
            for _ in range(100):
                size += 1
                pulse.fire()
                await trio.lowlevel.checkpoint()


async def test_one_who_gives_up_disturbs_nobody() -> None:
    pulse = Pulse()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel_when_blocked, scope)
            await pulse.wait()
        nursery.start_soon(pulse.wait)
        await trio.testing.wait_all_tasks_blocked()
        pulse.fire()


async def _cancel_when_blocked(scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
