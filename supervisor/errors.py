"""Everything Runwire itself can complain about, by whose fault it is.

```
RunwireError                     never raised directly
├── BadRequest                   the caller sent something that cannot be read or obeyed
│   ├── BadValue                 well-formed, but a field has no such value (names the field)
│   └── RangeNotSatisfiable      a byte range that lies wholly outside the log
├── NotFound                     there is no such thing
│   ├── NoSuchRun
│   ├── NoSuchJob
│   └── NoSuchToken
├── Conflict                     the request contradicts what is already true
│   ├── RunEnded                 the run ended before the request came
│   ├── RunNotEnded              only an ended run can be deleted or retried
│   ├── RunIdTaken               another run has this id
│   ├── NoTerminal               the run is on no terminal that could be resized
│   └── InputClosed              the run takes no input: not yet, not at all, or not any more
├── Denied                       the caller may not
│   ├── Unauthenticated          no credentials, or bad ones
│   └── Forbidden                good credentials without the needed scope (names it)
├── TooSlow                      the client let time pass that it did not have
│   ├── HelloTimeout             no hello came in time
│   └── Stalled                  nothing that was sent was taken or acknowledged
├── Unavailable                  it would work at another time
│   ├── ShuttingDown             no new work is taken
│   ├── TooManySearches          so many logs are searched that no other can be now
│   └── StorageUnavailable       the journal or a log cannot be written (disk full, EIO, read-only)
├── ConfigError                  jobs.toml is wrong; carries every mistake found
├── StateDirError                the state directory is in use, newer than us, or not writable
├── ListenError                  the address or socket to listen on is in use or cannot be had
├── IllegalTransition            an event that the lifecycle does not allow now
├── LaunchError                  a run could not be launched (no launcher, no descriptors left)
├── ServerUnreachable            seen from a client: nobody answers at the server's address
└── ProtocolError                the other side of a connection said what the protocol does not have
```

Each class has a stable `code`, which is what other programs may rely on; the message is for people.
"""

from __future__ import annotations


class RunwireError(Exception):
    """Base of all errors of ours. Never raised directly."""

    code = "internal"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        """`message` is one sentence for a person; `field` names the input at fault, if one is."""
        super().__init__(message)
        self.message = message
        self.field = field


class BadRequest(RunwireError):
    """The request cannot be read or obeyed."""

    code = "bad_request"


class BadValue(BadRequest):
    """A field of a well-formed request has no such value; `field` names it."""

    code = "bad_value"


class RangeNotSatisfiable(BadRequest):
    """The byte range asked for lies wholly outside what the log keeps."""

    code = "range_not_satisfiable"

    def __init__(self, message: str, *, oldest: int, size: int) -> None:
        """`oldest` is the first offset still kept, `size` the offset one past the last byte."""
        super().__init__(message)
        self.oldest = oldest
        self.size = size


class NotFound(RunwireError):
    """There is no such thing."""

    code = "not_found"


class NoSuchRun(NotFound):
    """No run has this id."""

    code = "no_such_run"


class NoSuchJob(NotFound):
    """No job has this name."""

    code = "no_such_job"


class NoSuchToken(NotFound):
    """No token of this server has this name (`jti`)."""

    code = "no_such_token"


class Conflict(RunwireError):
    """The request contradicts what is already true."""

    code = "conflict"


class RunEnded(Conflict):
    """The run ended before the request came; how it ended stands."""

    code = "run_ended"


class RunNotEnded(Conflict):
    """The request needs a run that has ended, and this one has not."""

    code = "run_not_ended"


class RunNotRunning(Conflict):
    """The request needs a run that runs, and this one waits, or is being stopped."""

    code = "run_not_running"


class RunIdTaken(Conflict):
    """A different run already has the id that the client chose."""

    code = "run_id_taken"


class InputClosed(Conflict):
    """The run takes no input: it has not started, never took any, or does not read any more."""

    code = "input_closed"

    def __init__(self, message: str, *, taken: int = 0) -> None:
        """`taken` is how many bytes were taken before it was closed."""
        super().__init__(message if not taken else f"{message}; {taken} bytes were taken before")
        self.taken = taken


class NoTerminal(Conflict):
    """The run is on no terminal, or not yet, so there is nothing to resize."""

    code = "no_terminal"


class Denied(RunwireError):
    """The caller may not do this."""

    code = "denied"


class Unauthenticated(Denied):
    """No credentials were given, or they are not valid."""

    code = "unauthenticated"


class Forbidden(Denied):
    """The credentials are good but lack the scope, which `scope` names."""

    code = "forbidden"

    def __init__(self, message: str, *, scope: str | None = None) -> None:
        """`scope` is the missing one, such as `runs:cancel`."""
        super().__init__(message)
        self.scope = scope


class TooSlow(RunwireError):
    """The client let time pass that it did not have."""

    code = "too_slow"


class HelloTimeout(TooSlow):
    """No hello came in time."""

    code = "hello_timeout"


class Stalled(TooSlow):
    """Nothing that was sent was taken or acknowledged for too long."""

    code = "stalled"


class Unavailable(RunwireError):
    """The same request may work later."""

    code = "unavailable"


class ShuttingDown(Unavailable):
    """The server is going down and takes no new work."""

    code = "shutting_down"


class TooManySearches(Unavailable):
    """So many searches of logs are under way that no other can begin."""

    code = "too_many_searches"


class StorageUnavailable(Unavailable):
    """The journal or a log cannot be written: disk full, I/O error or read-only."""

    code = "storage_unavailable"


class ConfigError(RunwireError):
    """jobs.toml is wrong. `mistakes` holds one line for each mistake, in file order."""

    code = "config_error"

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        """`mistakes` is never empty."""
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class StateDirError(RunwireError):
    """The state directory cannot be used: in use, written by a newer version, or not writable."""

    code = "state_dir_error"


class ListenError(RunwireError):
    """The address or the socket to listen on is in use, malformed or not ours to take."""

    code = "listen_error"


class IllegalTransition(RunwireError):
    """The lifecycle has no such move from the run's status; nothing was changed."""

    code = "illegal_transition"


class LaunchError(RunwireError):
    """A run could not be launched, for a reason that lies with the machine or with Runwire."""

    code = "launch_error"


class ServerUnreachable(RunwireError):
    """Nobody answers at the server's address, or the connection broke before the answer came."""

    code = "server_unreachable"


class ProtocolError(RunwireError):
    """The other side of a connection sent something that the protocol does not have."""

    code = "protocol_error"
