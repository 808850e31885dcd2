"""What asks for a run's end on its own: time that has passed, silence, a log that is full.

Each is a task that ends by itself, or is cancelled when the program has ended.
"""

from __future__ import annotations

import trio

from supervisor import clock
from supervisor.executors import Console
from supervisor.executors.pausing import Pausing
from supervisor.model import SYSTEM, Deadline, Run, StopRequest
from supervisor.outcome import StopCause
from supervisor.spec import OnFull, RunSpec
from supervisor.waits import then_cancel

_FIRST_LOOK_S = 0.5
"""What was written while there was no server is read first."""


def start_watchdogs(
    nursery: trio.Nursery,
    console: Console,
    pausing: Pausing,
    run: Run,
    deadlines: tuple[Deadline, ...],
) -> None:
    """Start those that `run` wants; `deadlines` are those of its time limit."""
    spec = run.spec
    for deadline in deadlines:
        nursery.start_soon(_ask_in_time, console, spec, deadline)
    if spec.no_output_timeout_s is not None:
        silent_s = console.log.silent_s - _paused_s(run)
        left_s = max(_FIRST_LOOK_S, spec.no_output_timeout_s - max(0.0, silent_s))
        nursery.start_soon(_ask_when_silent, console, pausing, spec, left_s)
    if spec.log_limit is not None and spec.log_limit.on_full is OnFull.FAIL:
        nursery.start_soon(_ask_when_full, console, spec)


async def _ask_in_time(console: Console, spec: RunSpec, deadline: Deadline) -> None:
    await trio.sleep(max(0.0, clock.seconds_until(deadline.at)))
    _ask(console, spec, StopCause.TIMEOUT)


def _paused_s(run: Run) -> float:
    """For how long it was paused before it was taken over, even if it wrote something since."""
    if run.paused_mono_ns is None:
        return run.paused_s
    return run.paused_s + (clock.now().mono_ns - run.paused_mono_ns) / 1e9


async def _ask_when_silent(
    console: Console, pausing: Pausing, spec: RunSpec, left_s: float
) -> None:
    """Ask when nothing was written for as long as `spec` allows; `left_s` are left of that.

    A log that cannot be written, or has to wait for the disk, is no silence, and the time of a pause
    does not count.
    """
    log = console.log
    limit_s = spec.no_output_timeout_s or 0.0
    size = log.size
    while True:
        await pausing.wait_off()
        began = trio.current_time()
        with trio.move_on_after(left_s) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(then_cancel, pausing.wait_on, nursery)
                while log.size == size:
                    await log.grew.wait()
                nursery.cancel_scope.cancel()
        if log.size != size or log.trouble is not None or log.ahead:
            size, left_s = log.size, limit_s
        elif patience.cancelled_caught:
            break
        else:
            left_s -= trio.current_time() - began
    _ask(console, spec, StopCause.NO_OUTPUT_TIMEOUT)


async def _ask_when_full(console: Console, spec: RunSpec) -> None:
    while not console.log.overflowed:
        await console.log.grew.wait()
    _ask(console, spec, StopCause.OUTPUT_LIMIT)


def _ask(console: Console, spec: RunSpec, cause: StopCause) -> None:
    console.ask_stop(StopRequest(cause, spec.stop, by=SYSTEM))
