"""The nouns of runs: what a run, an event and an outcome are. Frozen values, no behaviour, no I/O.

A *job* is a named definition; a *run* is one execution of a job or of an ad-hoc command.
A run's `RunSpec` is resolved once, at submit, so that later edits of jobs.toml never change it.
Statuses are moved in `lifecycle` and nowhere else.
"""

from __future__ import annotations

import enum
from datetime import datetime

from msgspec import Struct

from supervisor.reach import EVERYTHING, Reach
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


class OutOfMemory(enum.StrEnum):
    """What had no memory left when the kernel killed processes of a run for it.

    `limit`: the run itself, by its limit. `machine`: the machine, or a group that the run is in.
    """

    LIMIT = "limit"
    MACHINE = "machine"


class PauseMeans(enum.StrEnum):
    """How a run is paused: by its control group's freezer, or by SIGSTOP to its processes."""

    FREEZER = "freezer"
    SIGNAL = "signal"


class NamedProcess(Struct, frozen=True):
    """A process for people: its pid, and its command line, cut if it is long."""

    pid: int
    command: str


class StopCause(enum.StrEnum):
    """What made us stop a run."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    NO_OUTPUT_TIMEOUT = "no_output_timeout"
    OUTPUT_LIMIT = "output_limit"
    SHUTDOWN = "shutdown"

    @property
    def is_failure(self) -> bool:
        """Whether a run that was stopped for it has failed; else it was cancelled."""
        return self not in {StopCause.CANCEL, StopCause.SHUTDOWN}


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


class Meter(enum.StrEnum):
    """By what a figure of a run's usage was measured.

    `cgroup`: all of its processes, by the control group. `rusage`: its first process and the
    descendants that were waited for (wait4(2)); of memory, the largest single one of them.
    """

    CGROUP = "cgroup"
    RUSAGE = "rusage"


class Usage(Struct, frozen=True):
    """What a run used: CPU time in seconds, memory in bytes, processes and threads at once.

    What could not be measured rightly is None. A peak is the most that there was at any time; that
    of a control group has the page cache in it.
    """

    user_s: float
    system_s: float
    cpu_by: Meter = Meter.RUSAGE
    peak_memory: int | None = None
    memory_by: Meter | None = None
    peak_processes: int | None = None


# --- outcomes: how an execution went, as its executor saw it -------------------------------------


class Exited(Struct, frozen=True, kw_only=True, tag="exited"):
    """The program ran and ended, by `exit_code` or by `signal` (a name such as `KILL`).

    `stopped` says why we had sent it a signal before it ended, None if we had not.
    `output_complete` is False if a descendant still held the output when we stopped waiting;
    `killed` names the processes (pids) that were left in its group and were killed, `survivors`
    those that not even SIGKILL removed in time. `out_of_memory` is set if the kernel killed any of
    its processes for want of memory. `unattributed` may be of this run or of another one that was
    there when they began, and were left alone.
    """

    exit_code: int | None = None
    signal: str | None = None
    stopped: StopCause | None = None
    output_complete: bool = True
    killed: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()
    unattributed: tuple[NamedProcess, ...] = ()
    usage: Usage | None = None
    out_of_memory: OutOfMemory | None = None


class NotStarted(Struct, frozen=True, kw_only=True, tag="not_started"):
    """The program never ran: `message` says why and what was missing.

    `stopped` is set if it did not start because a stop came first.
    """

    message: str
    stopped: StopCause | None = None


class Lost(Struct, frozen=True, kw_only=True, tag="lost"):
    """Nobody saw how it ended. `killed` are the pids found to be left of it, now killed."""

    message: str
    killed: tuple[int, ...] = ()
    unattributed: tuple[int, ...] = ()


class Crashed(Struct, frozen=True, kw_only=True, tag="crashed"):
    """A bug of ours ended the execution; `message` is the exception in one line."""

    message: str


Outcome = Exited | NotStarted | Lost | Crashed


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


# --- asking for runs ---------------------------------------------------------------------------


class RunQuery(Struct, frozen=True, kw_only=True):
    """Which runs to list; all conditions that are given hold together.

    `status` is any of those named, `text` stands in the run's id, job or command whatever its
    case, `limit` is 1 to 1000, and `before` is a `seq`, itself not included. Only runs within
    `reach` are listed.
    """

    status: tuple[Status, ...] = ()
    job: str | None = None
    tag: str | None = None
    text: str | None = None
    limit: int = 50
    before: int | None = None
    reach: Reach = EVERYTHING


class RunPage(Struct, frozen=True):
    """Runs, newest first. `before` is where the next page starts, None on the last page."""

    runs: tuple[Run, ...]
    before: int | None
