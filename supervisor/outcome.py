"""How an execution went, as its executor saw it. `lifecycle.judge` makes it the end of the run. Pure."""

from __future__ import annotations

import enum

from msgspec import Struct


class OutOfMemory(enum.StrEnum):
    """What had no memory left when the kernel killed processes of a run for it.

    `limit`: the run itself, by its limit. `machine`: the machine, or a group that the run is in.
    """

    LIMIT = "limit"
    MACHINE = "machine"


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
