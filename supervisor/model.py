"""The nouns of runs: what a run and an event are. Frozen values, no behaviour, no I/O.

A *job* is a named definition; a *run* is one execution of a job or of an ad-hoc command.
A run's `RunSpec` is resolved once, at submit, so that later edits of jobs.toml never change it.
Statuses are moved in `lifecycle` and nowhere else.
"""

from __future__ import annotations

import enum
from datetime import datetime

from msgspec import Struct

from supervisor.outcome import NamedProcess, Outcome, StopCause, Usage
from supervisor.spec import RunSpec, StopPolicy, TerminalSize


class Status(enum.StrEnum):
    """Where a run is. Exactly these five; "cancelling" is RUNNING with `cancel_requested_at`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True for the three statuses that never change again."""
        return self in _ENDED


_ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})


class Reason(enum.StrEnum):
    """Why a failed run failed."""

    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    QUEUE_TIMEOUT = "queue_timeout"
    NO_OUTPUT_TIMEOUT = "no_output_timeout"
    START_FAILED = "start_failed"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    NEED_FAILED = "need_failed"
    REFUSED = "refused"
    LOST = "lost"
    INTERNAL = "internal"


class Stream(enum.IntEnum):
    """Which output a chunk of the log came from. The numbers are stored in the log's index."""

    STDOUT = 1
    STDERR = 2

    def __init__(self, _number: int) -> None:
        """Each has the name used in the API, `stdout` or `stderr`, as its `label`."""
        self.label = self.name.lower()


class Moment(Struct, frozen=True):
    """A point in time on both clocks.

    `wall` is for people and may jump; `mono_ns` (CLOCK_MONOTONIC, clock_gettime(2)) is for
    durations and means something only together with `boot_id`.
    """

    wall: datetime
    mono_ns: int
    boot_id: str


class Actor(Struct, frozen=True):
    """Who caused something: a `user` of this machine, the bearer of a `token`, or the `system`."""

    kind: str
    name: str


SYSTEM = Actor("system", "runwire")


class ProcessRef(Struct, frozen=True):
    """Identity of a process that survives pid reuse.

    `start_ticks` is field 22 of /proc/PID/stat (proc_pid_stat(5)), in clock ticks since boot.
    """

    pid: int
    start_ticks: int
    boot_id: str


class Tracking(enum.StrEnum):
    """By what means the processes of a run are known, the surest first.

    `cgroup`: all of them, whatever they do. `subreaper`: also those that left the session, as long
    as it can be told whose they are. `group`: those that stayed in the session.
    """

    CGROUP = "cgroup"
    SUBREAPER = "subreaper"
    GROUP = "group"


class PauseMeans(enum.StrEnum):
    """How a run is paused: by its control group's freezer, or by SIGSTOP to its processes."""

    FREEZER = "freezer"
    SIGNAL = "signal"


class StopRequest(Struct, frozen=True):
    """A wish that a run ends: how (`policy`; `force` skips to SIGKILL), why, and who asked."""

    cause: StopCause
    policy: StopPolicy
    by: Actor
    force: bool = False


class StopStep(Struct, frozen=True):
    """One thing done to stop a run: `signal` sent to `target` at `at`.

    `target` is `group PGID` or `cgroup`, the whole tree in either case, `process PID`, the first
    process alone, or `processes`, those that appeared while the others were killed. `pids` are
    those seen when it was sent. `result` is `sent` or `no such process`.

    The rest is known when the next step begins, or the run has ended: how long this one took, and
    who was there then.
    """

    at: datetime
    signal: str
    target: str
    pids: tuple[int, ...] = ()
    result: str = "sent"
    took_s: float | None = None
    left: tuple[int, ...] = ()


class StopReceipt(Struct, frozen=True, kw_only=True):
    """What a stop did, in order: who asked for it and how, and each signal.

    `policy` is how it was to be done. `forced_at` and `forced_by` are of the first request to kill
    at once. `escalated` says that SIGKILL came after another signal. `took_s` is from the request
    to the run's end, and `survivors` are the pids that were there even then.
    """

    cause: StopCause
    requested_at: datetime
    requested_by: Actor
    policy: StopPolicy | None = None
    forced_at: datetime | None = None
    forced_by: Actor | None = None
    steps: tuple[StopStep, ...] = ()
    escalated: bool = False
    took_s: float | None = None
    survivors: tuple[int, ...] = ()


class DeadlineKind(enum.StrEnum):
    """What happens when a deadline passes."""

    TIMEOUT = "timeout"
    KILL = "kill"


class Deadline(Struct, frozen=True):
    """A time by which something must have happened, kept as data so that a restart resumes it."""

    kind: DeadlineKind
    at: Moment


# --- events: facts about a run, the journal's content --------------------------------------------


class Submitted(Struct, frozen=True, tag="submitted"):
    """The run was accepted. The first event of every run."""

    spec: RunSpec


class Dispatched(Struct, frozen=True, tag="dispatched"):
    """It was given to its executor, which may now create a process for it."""

    executor: str


class Requeued(Struct, frozen=True, tag="requeued"):
    """It was found dispatched but never started, so it waits again."""

    message: str


class Started(Struct, frozen=True, tag="started"):
    """A process exists for it, known by `process`; the program runs from here on.

    `tracking` is by what means the processes that come from it are known, and `survives_restart`
    whether it goes on when the server is restarted or killed.
    """

    process: ProcessRef | None
    deadlines: tuple[Deadline, ...] = ()
    tracking: Tracking | None = None
    survives_restart: bool = False


class Reattached(Struct, frozen=True, tag="reattached"):
    """The server was restarted or had fallen; the next one goes on with it."""


class StopRequested(Struct, frozen=True, tag="stop_requested"):
    """Somebody or something wants it to end: a cancel, a time limit, our own shutdown."""

    request: StopRequest


class Signalled(Struct, frozen=True, tag="signalled"):
    """A signal was sent to it. `stopping` is False for a signal that is no part of a stop."""

    step: StopStep
    stopping: bool
    deadlines: tuple[Deadline, ...] = ()


class Paused(Struct, frozen=True, tag="paused"):
    """Its processes were suspended, by these `means`."""

    means: PauseMeans


class Resumed(Struct, frozen=True, tag="resumed"):
    """Its suspended processes go on."""


class ProgramExited(Struct, frozen=True, tag="program_exited"):
    """The program ended but its output is still open, held by a descendant.

    `holders` are those processes of the run that hold it.
    """

    exit_code: int | None
    signal: str | None
    holders: tuple[NamedProcess, ...] = ()


class Resized(Struct, frozen=True, tag="resized"):
    """The terminal that it is on has another size."""

    terminal: TerminalSize


class Succeeded(Struct, frozen=True, kw_only=True, tag="succeeded"):
    """It ended with exit code 0."""

    outcome: Outcome


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """It ended otherwise, or never started, or was lost."""

    reason: Reason
    message: str
    outcome: Outcome


class Cancelled(Struct, frozen=True, kw_only=True, tag="cancelled"):
    """It ended after a stop of ours, or a stop kept it from starting."""

    message: str
    outcome: Outcome | None = None


Event = (
    Submitted
    | Dispatched
    | Requeued
    | Started
    | Reattached
    | StopRequested
    | Signalled
    | Paused
    | Resumed
    | ProgramExited
    | Resized
    | Succeeded
    | Failed
    | Cancelled
)


def event_name(event: Event) -> str:
    """The name of an event's type, as stored and shown, such as `stop_requested`."""
    return str(type(event).__struct_config__.tag)


class Entry(Struct, frozen=True):
    """An event as it is recorded: when, who caused it, for which run, and where in its log."""

    run_id: str
    at: Moment
    by: Actor
    event: Event
    log_offset: int = 0


class Run(Struct, frozen=True, kw_only=True):
    """One execution, as its events have made it. Never changes once it has ended.

    `seq` orders runs by creation. `exit_code` and `signal` are as the kernel told them.
    `paused_at` is since when it is paused, `paused_s` how long it was before that. `paused_mono_ns`,
    `stop_mono_ns` and `step_mono_ns` are when that pause, the stop and its last step began.
    `terminal` is the last size that its terminal was given, None if it was never resized.
    """

    id: str
    seq: int
    spec: RunSpec
    status: Status
    created_at: datetime
    created_by: Actor
    attempt: int = 1
    retry_of: str | None = None
    dispatched_at: datetime | None = None
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    exited_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: float | None = None
    started_mono_ns: int | None = None
    process: ProcessRef | None = None
    tracking: Tracking | None = None
    survives_restart: bool = False
    deadlines: tuple[Deadline, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    reason: Reason | None = None
    message: str = ""
    stop: StopReceipt | None = None
    paused_at: datetime | None = None
    paused_s: float = 0.0
    paused_mono_ns: int | None = None
    stop_mono_ns: int | None = None
    step_mono_ns: int | None = None
    terminal: TerminalSize | None = None
    output_complete: bool | None = None
    holders: tuple[NamedProcess, ...] = ()
    killed: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()
    unattributed: tuple[NamedProcess, ...] = ()
    usage: Usage | None = None
    log_size: int | None = None
