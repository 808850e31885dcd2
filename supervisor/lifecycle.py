"""The life of a run: one table of moves, one function that applies an event, one that judges.

Everything that decides a run's status is in this file, and nothing here reads a clock, a file or
a process: the same events always give the same run.

`TRANSITIONS[status][event type]` is the status that follows; what is not in the table is refused
with `IllegalTransition` and changes nothing. A cancel is data: `StopRequested` leaves a running
run running, and only its end, judged from what the executor saw, moves it on. Whether a run ends
as cancelled is decided by whether a signal of ours left before it ended, not by when somebody
clicked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from supervisor.errors import IllegalTransition
from supervisor.model import (
    Cancelled,
    Dispatched,
    Entry,
    Event,
    Failed,
    Paused,
    ProgramExited,
    Reason,
    Reattached,
    Requeued,
    Resized,
    Resumed,
    Run,
    Signalled,
    Started,
    Status,
    StopReceipt,
    StopRequested,
    StopStep,
    Submitted,
    Succeeded,
    event_name,
)
from supervisor.outcome import Crashed, Exited, Lost, NotStarted, Outcome, OutOfMemory, StopCause

_QUEUED: Mapping[type, Status] = MappingProxyType(
    {
        Dispatched: Status.QUEUED,
        Requeued: Status.QUEUED,
        StopRequested: Status.QUEUED,
        Started: Status.RUNNING,
        Failed: Status.FAILED,
        Cancelled: Status.CANCELLED,
    }
)
_RUNNING: Mapping[type, Status] = MappingProxyType(
    {
        Reattached: Status.RUNNING,
        StopRequested: Status.RUNNING,
        Signalled: Status.RUNNING,
        Paused: Status.RUNNING,
        Resumed: Status.RUNNING,
        ProgramExited: Status.RUNNING,
        Resized: Status.RUNNING,
        Succeeded: Status.SUCCEEDED,
        Failed: Status.FAILED,
        Cancelled: Status.CANCELLED,
    }
)

TRANSITIONS: Mapping[Status, Mapping[type, Status]] = MappingProxyType(
    {
        Status.QUEUED: _QUEUED,
        Status.RUNNING: _RUNNING,
        Status.SUCCEEDED: MappingProxyType({}),
        Status.FAILED: MappingProxyType({}),
        Status.CANCELLED: MappingProxyType({}),
    }
)


def begin(entry: Entry, *, seq: int, attempt: int = 1, retry_of: str | None = None) -> Run:
    """The run that a `Submitted` entry creates. Raises IllegalTransition for any other event."""
    if not isinstance(entry.event, Submitted):
        raise IllegalTransition(f"a run begins with submitted, not with {event_name(entry.event)}")
    return Run(
        id=entry.run_id,
        seq=seq,
        spec=entry.event.spec,
        status=Status.QUEUED,
        created_at=entry.at.wall,
        created_by=entry.by,
        attempt=attempt,
        retry_of=retry_of,
    )


def advance(run: Run, entry: Entry) -> Run:
    """The run as `entry` leaves it.

    Raises IllegalTransition if the lifecycle has no such move; `run` is then as it was.
    """
    status = TRANSITIONS[run.status].get(type(entry.event))
    if status is None:
        raise IllegalTransition(f"a run that is {run.status} cannot be {event_name(entry.event)}")
    apply = _APPLY[type(entry.event)]
    return _replace(apply(run, entry, entry.event), status=status)


def _dispatched(run: Run, entry: Entry, _event: Dispatched) -> Run:
    return _replace(run, dispatched_at=entry.at.wall)


def _requeued(run: Run, _entry: Entry, _event: Requeued) -> Run:
    return _replace(run, dispatched_at=None)


def _started(run: Run, entry: Entry, event: Started) -> Run:
    return _replace(
        run,
        started_at=entry.at.wall,
        started_mono_ns=entry.at.mono_ns,
        process=event.process,
        tracking=event.tracking,
        survives_restart=event.survives_restart,
        deadlines=event.deadlines,
    )


def _reattached(run: Run, _entry: Entry, _event: Reattached) -> Run:
    """It has not noticed."""
    return run


def _stop_requested(run: Run, entry: Entry, event: StopRequested) -> Run:
    """A later request never hides who asked first; it only makes the stop harder."""
    request = event.request
    receipt = run.stop or StopReceipt(
        cause=request.cause,
        requested_at=entry.at.wall,
        requested_by=request.by,
        policy=request.policy,
    )
    if request.force and receipt.forced_at is None:
        receipt = _replace(receipt, forced_at=entry.at.wall, forced_by=request.by)
    stopping = _replace(run, stop=receipt, stop_mono_ns=run.stop_mono_ns or entry.at.mono_ns)
    if event.request.cause.is_failure:
        return stopping
    return _replace(stopping, cancel_requested_at=run.cancel_requested_at or entry.at.wall)


def _signalled(run: Run, entry: Entry, event: Signalled) -> Run:
    if not event.stopping or run.stop is None:
        return run
    steps = _steps_until(run, entry, left=event.step.pids)
    receipt = _replace(
        run.stop,
        steps=(*steps, event.step),
        escalated=event.step.signal == "KILL" and any(step.signal != "KILL" for step in steps),
    )
    return _replace(run, stop=receipt, deadlines=event.deadlines, step_mono_ns=entry.at.mono_ns)


def _steps_until(run: Run, entry: Entry, *, left: tuple[int, ...]) -> tuple[StopStep, ...]:
    """The steps of its stop, the last of which is over now, with these processes left."""
    if run.stop is None or not run.stop.steps:
        return ()
    *others, last = run.stop.steps
    return (*others, _replace(last, took_s=_seconds_since(run, run.step_mono_ns, entry), left=left))


def _seconds_since(run: Run, mono_ns: int | None, entry: Entry) -> float | None:
    """None if that was in another life of the machine: each has a monotonic clock of its own."""
    booted_since = run.process is not None and run.process.boot_id != entry.at.boot_id
    if mono_ns is None or booted_since or entry.at.mono_ns < mono_ns:
        return None
    return (entry.at.mono_ns - mono_ns) / 1e9


def _paused(run: Run, entry: Entry, _event: Paused) -> Run:
    if run.paused_at is not None:
        return run
    return _replace(run, paused_at=entry.at.wall, paused_mono_ns=entry.at.mono_ns)


def _resumed(run: Run, entry: Entry, _event: Resumed) -> Run:
    """Also as it ends: what has ended is not paused."""
    if run.paused_at is None:
        return run
    paused_s = run.paused_s + (_seconds_since(run, run.paused_mono_ns, entry) or 0.0)
    return _replace(run, paused_at=None, paused_s=paused_s, paused_mono_ns=None)


def _program_exited(run: Run, entry: Entry, event: ProgramExited) -> Run:
    return _replace(
        run,
        exited_at=entry.at.wall,
        exit_code=event.exit_code,
        signal=event.signal,
        holders=event.holders,
    )


def _resized(run: Run, _entry: Entry, event: Resized) -> Run:
    return _replace(run, terminal=event.terminal)


def _succeeded(run: Run, entry: Entry, event: Succeeded) -> Run:
    return _ended(run, entry, event.outcome)


def _failed(run: Run, entry: Entry, event: Failed) -> Run:
    ended = _ended(run, entry, event.outcome)
    return _replace(ended, reason=event.reason, message=event.message)


def _cancelled(run: Run, entry: Entry, event: Cancelled) -> Run:
    ended = _ended(run, entry, event.outcome)
    return _replace(ended, message=event.message)


def _ended(run: Run, entry: Entry, outcome: Outcome | None) -> Run:
    ended = _replace(
        _resumed(run, entry, Resumed()),
        ended_at=entry.at.wall,
        duration_s=_seconds_since(run, run.started_mono_ns, entry),
        deadlines=(),
        log_size=entry.log_offset,
        stop=_closed(run, entry, outcome),
    )
    match outcome:
        case Exited():
            return _replace(
                ended,
                exited_at=run.exited_at or entry.at.wall,
                exit_code=outcome.exit_code,
                signal=outcome.signal,
                output_complete=outcome.output_complete,
                killed=outcome.killed,
                survivors=outcome.survivors,
                unattributed=outcome.unattributed,
                usage=outcome.usage,
            )
        case Lost():
            # Nobody saw how it ended, so nothing is claimed about its length or its output.
            return _replace(ended, killed=outcome.killed, duration_s=None, output_complete=False)
        case NotStarted():
            # Its process exited, but the program never was: that code is none of its own.
            return _replace(ended, exited_at=None, exit_code=None, signal=None)
        case _:
            return ended


def _closed(run: Run, entry: Entry, outcome: Outcome | None) -> StopReceipt | None:
    """The receipt of its stop, if there was one, with what came of it in the end."""
    if run.stop is None or isinstance(outcome, Lost):
        return run.stop
    survivors = outcome.survivors if isinstance(outcome, Exited) else ()
    return _replace(
        run.stop,
        steps=_steps_until(run, entry, left=survivors),
        took_s=_seconds_since(run, run.stop_mono_ns, entry),
        survivors=survivors,
    )


_APPLY: Mapping[type, Callable[[Run, Entry, Any], Run]] = MappingProxyType(
    {
        Dispatched: _dispatched,
        Requeued: _requeued,
        Started: _started,
        Reattached: _reattached,
        StopRequested: _stop_requested,
        Signalled: _signalled,
        Paused: _paused,
        Resumed: _resumed,
        ProgramExited: _program_exited,
        Resized: _resized,
        Succeeded: _succeeded,
        Failed: _failed,
        Cancelled: _cancelled,
    }
)


_STOPPED: Mapping[StopCause, str] = MappingProxyType(
    {
        StopCause.TIMEOUT: "stopped at its time limit",
        StopCause.NO_OUTPUT_TIMEOUT: "stopped because it wrote nothing for too long",
        StopCause.OUTPUT_LIMIT: "stopped because its log was full",
    }
)
"""A stop for any of these is a failure, with the reason of the same name."""


def judge(outcome: Outcome) -> Event:  # noqa: PLR0911 - one line a case
    """The event that ends a run, from how its execution went."""
    match outcome:
        case Exited(stopped=StopCause.CANCEL | StopCause.SHUTDOWN):
            return Cancelled(message=_how(outcome), outcome=outcome)
        case Exited(stopped=StopCause() as cause):
            message = f"{_STOPPED[cause]}; {_how(outcome)}"
            return Failed(reason=Reason(cause), message=message, outcome=outcome)
        case Exited(exit_code=0):
            return Succeeded(outcome=outcome)
        case Exited(out_of_memory=OutOfMemory.LIMIT):
            message = f"killed at its memory limit; {_how(outcome)}"
            return Failed(reason=Reason.MEMORY_LIMIT, message=message, outcome=outcome)
        case Exited():
            reason = Reason.SIGNAL if outcome.signal else Reason.EXIT_CODE
            return Failed(reason=reason, message=_how(outcome), outcome=outcome)
        case NotStarted(stopped=None):
            return _failed_as(Reason.START_FAILED, outcome)
        case NotStarted():
            return Cancelled(message=outcome.message, outcome=outcome)
        case Lost():
            return _failed_as(Reason.LOST, outcome)
        case Crashed():
            return _failed_as(Reason.INTERNAL, outcome)


def _failed_as(reason: Reason, outcome: NotStarted | Lost | Crashed) -> Failed:
    return Failed(reason=reason, message=outcome.message, outcome=outcome)


def _how(outcome: Exited) -> str:
    how = f"ended by SIG{outcome.signal}" if outcome.signal else f"exit code {outcome.exit_code}"
    if outcome.out_of_memory is OutOfMemory.MACHINE:
        how += "; the machine had no memory left, and the kernel killed processes of the run"
    return how


_S = TypeVar("_S", bound=msgspec.Struct)


def _replace(struct: _S, **changes: object) -> _S:
    return msgspec.structs.replace(struct, **changes)
