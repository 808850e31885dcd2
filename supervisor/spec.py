"""What a job is and what a run of it executes: the nouns that say what somebody wants. Pure."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta, Struct, field

from supervisor.conditions import Conditions


class StopScope(enum.StrEnum):
    """Whom a signal is for: the run's first process, or all it has started as well."""

    MAIN = "main"
    TREE = "tree"


class StopPolicy(Struct, frozen=True):
    """How a run is stopped: `signal` within `scope`, then SIGKILL for all after `grace_s` seconds."""

    signal: str = "TERM"
    grace_s: float = 10.0
    scope: StopScope = StopScope.TREE


class OnFull(enum.StrEnum):
    """What happens when a run's log is full. The run is never made to wait for it."""

    TRUNCATE_HEAD = "truncate-head"
    STOP_CAPTURE = "stop-capture"
    FAIL = "fail"


class OutputMode(enum.StrEnum):
    """How a run writes: `split`, a pipe for each stream; `merged`, one for both, which keeps their
    order; `pty`, a terminal. What is merged or comes from a terminal is all stdout."""

    SPLIT = "split"
    MERGED = "merged"
    PTY = "pty"


Characters = Annotated[int, Meta(ge=1, le=1000)]


class TerminalSize(Struct, frozen=True, forbid_unknown_fields=True):
    """How large a run's terminal is, in characters."""

    columns: Characters = 80
    rows: Characters = 24


class StdinMode(enum.StrEnum):
    """What a run reads: nothing, or what is sent to it while it runs."""

    CLOSED = "closed"
    OPEN = "open"


class StdinSource(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a run reads: the content of `file`, a path from its `cwd`, or `text`. One is None."""

    file: str | None = None
    text: str | None = None


Stdin = StdinMode | StdinSource


class LogLimit(Struct, frozen=True):
    """How much of a run's output is kept: `max_bytes`, more or less."""

    max_bytes: int
    on_full: OnFull = OnFull.TRUNCATE_HEAD


class Retention(Struct, frozen=True):
    """What is kept of runs that have ended: not longer than `age_s` after their end, not more than
    `runs`, and logs of not more than `bytes` on disk. None is no limit."""

    age_s: float | None = None
    runs: int | None = None
    bytes: int | None = None


class ParamKind(enum.StrEnum):
    """The type of a job's parameter."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    CHOICE = "choice"


ParamValue = bool | int | float | str


class Param(Struct, frozen=True, kw_only=True):
    """One parameter of a job. `min` and `max` bound numbers, `pattern` strings, `choices` choices.

    A parameter without a default must be given at submit.
    """

    type: ParamKind
    description: str = ""
    default: ParamValue | None = None
    min: float | None = None
    max: float | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()


class Job(Conditions, frozen=True, kw_only=True):
    """A named definition from jobs.toml. Exactly one of `command` and `shell` is set."""

    name: str
    description: str = ""
    command: tuple[str, ...] | None = None
    shell: str | None = None
    cwd: str
    env: dict[str, str] = field(default_factory=dict)
    params: dict[str, Param] = field(default_factory=dict)
    stop: StopPolicy = StopPolicy()
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    no_output_timeout_s: float | None = None
    concurrency: int | None = None
    priority: int = 0
    autostart: bool = False
    tags: tuple[str, ...] = ()
    log_limit: LogLimit | None = None
    output: OutputMode = OutputMode.SPLIT
    stdin: Stdin = StdinMode.CLOSED
    terminal: TerminalSize = TerminalSize()


class RunSpec(Conditions, frozen=True, kw_only=True):
    """What one run executes, fully resolved: no placeholder left, nothing looked up later.

    `argv` is what is executed, a shell line being `/bin/sh -c LINE`. `env` is what is laid over
    the server's own environment. `job` is None for an ad-hoc command.
    """

    argv: tuple[str, ...]
    cwd: str
    job: str | None = None
    shell: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    params: dict[str, ParamValue] = field(default_factory=dict)
    stop: StopPolicy = StopPolicy()
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    no_output_timeout_s: float | None = None
    concurrency: int | None = None
    priority: int = 0
    tags: tuple[str, ...] = ()
    log_limit: LogLimit | None = None
    output: OutputMode = OutputMode.SPLIT
    stdin: Stdin = StdinMode.CLOSED
    terminal: TerminalSize = TerminalSize()
    executor: str = "local"
