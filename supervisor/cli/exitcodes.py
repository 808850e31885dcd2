"""What the command line's exit codes mean. Pure.

`run` ends with the run's own code wherever it has one. The other codes are those of sysexits.h,
and of the shell, env(1) and timeout(1) for what these have a code for.
"""

from __future__ import annotations

import enum

from supervisor.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    Denied,
    ListenError,
    NotFound,
    ProtocolError,
    RunwireError,
    ServerUnreachable,
    StateDirError,
    Unavailable,
)
from supervisor.model import Reason, Status
from supervisor.signals import signal_number
from supervisor.wire import RunView


class ExitCode(enum.IntEnum):
    """The exit codes that are Runwire's own, as documented."""

    OK = 0
    UNFIT = 1
    USAGE = 2
    REFUSED = 65
    NOT_FOUND = 66
    UNREACHABLE = 69
    INTERNAL = 70
    CONFLICT = 73
    OUTPUT = 74
    TRY_LATER = 75
    PROTOCOL = 76
    DENIED = 77
    CONFIG = 78
    TIMED_OUT = 124
    LOST = 125
    NOT_STARTED = 126
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_BY_ERROR: tuple[tuple[type[RunwireError], ExitCode], ...] = (
    (BadRequest, ExitCode.REFUSED),
    (NotFound, ExitCode.NOT_FOUND),
    (Conflict, ExitCode.CONFLICT),
    (Denied, ExitCode.DENIED),
    (Unavailable, ExitCode.TRY_LATER),
    (ServerUnreachable, ExitCode.UNREACHABLE),
    (ProtocolError, ExitCode.PROTOCOL),
    (ConfigError, ExitCode.CONFIG),
    (StateDirError, ExitCode.CONFLICT),
    (ListenError, ExitCode.CONFLICT),
)


def code_of_error(error: RunwireError) -> int:
    """The exit code for an error of ours."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.INTERNAL)


def code_of_run(run: RunView) -> int:
    """The exit code for a run that has ended: its own, 128+n for a signal; 0 only for success.

    A run that did not succeed although its program gave 0 or no code at all gets one by how it
    ended: cancelled, out of time, never started, or lost.
    """
    if run.status is Status.SUCCEEDED:
        return ExitCode.OK
    if run.signal is not None:
        return _signalled(run.signal)
    if run.exit_code:
        return run.exit_code
    if run.status is Status.CANCELLED:
        return ExitCode.INTERRUPTED
    return _BY_REASON.get(run.reason, ExitCode.LOST)


_BY_REASON: dict[Reason | None, ExitCode] = {
    Reason.TIMEOUT: ExitCode.TIMED_OUT,
    Reason.QUEUE_TIMEOUT: ExitCode.TIMED_OUT,
    Reason.NO_OUTPUT_TIMEOUT: ExitCode.TIMED_OUT,
    Reason.START_FAILED: ExitCode.NOT_STARTED,
    Reason.NEED_FAILED: ExitCode.NOT_STARTED,
    Reason.REFUSED: ExitCode.NOT_STARTED,
}


def _signalled(name: str) -> int:
    try:
        return 128 + signal_number(name)
    except KeyError:
        return ExitCode.LOST
