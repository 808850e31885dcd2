"""What is said over HTTP: requests, responses and problems, shared by the server and the client.

Requests refuse unknown fields, so that a misspelt one is an error and not a surprise. Responses
are the model's own values where these can be shown as they are.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType, field

from supervisor.conditions import Conditions, with_conditions
from supervisor.model import Actor, Entry, ProcessRef, Reason, Run, Status, StopReceipt, Tracking
from supervisor.outcome import NamedProcess, Usage
from supervisor.spec import (
    LogLimit,
    OutputMode,
    Param,
    ParamValue,
    RunSpec,
    Stdin,
    StopPolicy,
    StopScope,
    TerminalSize,
)

RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class StopWish(Struct, frozen=True, forbid_unknown_fields=True):
    """How to stop, as a request says it; what is left out is as the job says.

    `signal` is a name such as `TERM` (or `SIGTERM`); `grace` is a duration such as `"30s"`; `scope`
    is whom the signal is for.
    """

    signal: str | None = None
    grace: str | float | None = None
    scope: StopScope | None = None


class LimitsWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command may use, as a request says it: sizes such as `"2G"`, see `RunLimits`."""

    memory: str | int | None = None
    cpu: float | None = None
    pids: int | None = None
    io_weight: int | None = None
    nofile: int | None = None
    core: str | int | None = None
    stack: str | int | None = None
    data: str | int | None = None
    cpu_time: str | float | None = None


class SubmitRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /runs`: a job by name with its parameters, or a command (or shell line) of its own.

    `id` makes the request idempotent: the same request again returns the same run.
    """

    id: str | None = None
    job: str | None = None
    params: dict[str, ParamValue] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    shell: str | None = None
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    timeout: str | float | None = None
    queue_timeout: str | float | None = None
    no_output_timeout: str | float | None = None
    stop: StopWish | None = None
    output: OutputMode | None = None
    stdin: Stdin | None = None
    terminal: TerminalSize | None = None
    priority: int | None = None
    tags: tuple[str, ...] = ()
    limits: LimitsWish | None = None
    nice: int | None = None
    ionice: str | None = None
    umask: str | None = None
    user: str | None = None
    supplementary_groups: tuple[str, ...] | None = None
    inherit_env: tuple[str, ...] | None = None
    env_file: str | None = None


class CancelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /runs/{id}/cancel`: all optional; `force` kills at once."""

    signal: str | None = None
    grace: str | float | None = None
    scope: StopScope | None = None
    force: bool = False


class SignalRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /runs/{id}/signal`: one signal by name, such as `HUP`; no change of status."""

    signal: str
    scope: StopScope = StopScope.TREE


class Silence(Struct, frozen=True):
    """A run has written nothing for `for_s` seconds.

    `hint` says which of its processes may be keeping what it wrote, if one is likely to.
    """

    for_s: float
    hint: str | None


class InputTaken(Struct, frozen=True):
    """The answer to `POST /runs/{id}/input`: how many bytes were `taken`, from the first on.

    `eof` is whether the run's input was closed behind them.
    """

    taken: int
    eof: bool


class LogInfo(Struct, frozen=True):
    """A run's log: `size` in bytes ever captured, `oldest` the first offset still kept."""

    size: int
    oldest: int


class RunSpecView(Conditions, frozen=True, kw_only=True):
    """What a run executes, as shown."""

    command: tuple[str, ...]
    shell: str | None
    cwd: str
    env: dict[str, str]
    params: dict[str, ParamValue]
    stop: StopPolicy
    timeout_s: float | None
    queue_timeout_s: float | None
    no_output_timeout_s: float | None
    concurrency: int | None
    log_limit: LogLimit | None
    output: OutputMode
    stdin: Stdin
    terminal: TerminalSize | None
    executor: str


class RunView(Struct, frozen=True, kw_only=True):
    """A run as the API shows it. Times are RFC 3339 in UTC; absent facts are null."""

    id: str
    job: str | None
    status: Status
    reason: Reason | None
    message: str
    exit_code: int | None
    signal: str | None
    created_at: datetime
    created_by: Actor
    dispatched_at: datetime | None
    started_at: datetime | None
    cancel_requested_at: datetime | None
    paused_at: datetime | None
    paused_s: float
    exited_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    attempt: int
    retry_of: str | None
    priority: int
    tags: tuple[str, ...]
    pid: int | None
    process: ProcessRef | None
    tracking: Tracking | None
    survives_restart: bool
    spec: RunSpecView
    stop: StopReceipt | None
    terminal: TerminalSize | None
    output_complete: bool | None
    holders: tuple[NamedProcess, ...]
    killed: tuple[int, ...]
    survivors: tuple[int, ...]
    unattributed: tuple[NamedProcess, ...]
    usage: Usage | None
    log: LogInfo
    silent: Silence | None = None


def show_run(run: Run, log: LogInfo, silent: Silence | None = None) -> RunView:
    """The run as the API shows it."""
    spec = run.spec
    return RunView(
        id=run.id,
        job=spec.job,
        status=run.status,
        reason=run.reason,
        message=run.message,
        exit_code=run.exit_code,
        signal=run.signal,
        created_at=run.created_at,
        created_by=run.created_by,
        dispatched_at=run.dispatched_at,
        started_at=run.started_at,
        cancel_requested_at=run.cancel_requested_at,
        paused_at=run.paused_at,
        paused_s=run.paused_s,
        exited_at=run.exited_at,
        ended_at=run.ended_at,
        duration_s=run.duration_s,
        attempt=run.attempt,
        retry_of=run.retry_of,
        priority=spec.priority,
        tags=spec.tags,
        pid=run.process.pid if run.process else None,
        process=run.process,
        tracking=run.tracking,
        survives_restart=run.survives_restart,
        spec=_show_spec(spec),
        stop=run.stop,
        terminal=_terminal(run),
        output_complete=run.output_complete,
        holders=run.holders,
        killed=run.killed,
        survivors=run.survivors,
        unattributed=run.unattributed,
        usage=run.usage,
        log=log,
        silent=silent,
    )


def _show_spec(spec: RunSpec) -> RunSpecView:
    view = RunSpecView(
        command=spec.argv,
        shell=spec.shell,
        cwd=spec.cwd,
        env=spec.env,
        params=spec.params,
        stop=spec.stop,
        timeout_s=spec.timeout_s,
        queue_timeout_s=spec.queue_timeout_s,
        no_output_timeout_s=spec.no_output_timeout_s,
        concurrency=spec.concurrency,
        log_limit=spec.log_limit,
        output=spec.output,
        stdin=spec.stdin,
        terminal=spec.terminal if spec.output is OutputMode.PTY else None,
        executor=spec.executor,
    )
    return with_conditions(view, spec)


def _terminal(run: Run) -> TerminalSize | None:
    """How large the run's terminal is, or was last; None for a run that is on none."""
    return run.terminal or run.spec.terminal if run.spec.output is OutputMode.PTY else None


class RunList(Struct, frozen=True):
    """`GET /runs`: newest first. `next` is the `before` of the next page, null on the last."""

    runs: tuple[RunView, ...]
    next: str | None


class EventView(Struct, frozen=True, kw_only=True):
    """An event as stored: `seq` counts all events, `run_seq` those of this run from 1."""

    seq: int
    run_seq: int
    version: int
    entry: Entry


class EventList(Struct, frozen=True):
    """`GET /runs/{id}/events`: oldest first."""

    events: tuple[EventView, ...]


class JobView(Conditions, frozen=True, kw_only=True):
    """A job as the API shows it, with its last run if it ever ran."""

    name: str
    description: str
    command: tuple[str, ...] | None
    shell: str | None
    cwd: str
    params: dict[str, Param]
    stop: StopPolicy
    timeout_s: float | None
    queue_timeout_s: float | None
    no_output_timeout_s: float | None
    concurrency: int | None
    priority: int
    autostart: bool
    tags: tuple[str, ...]
    log_limit: LogLimit | None
    output: OutputMode
    stdin: Stdin
    terminal: TerminalSize | None
    last_run: RunView | None


class JobList(Struct, frozen=True):
    """`GET /jobs`, in the order of jobs.toml."""

    jobs: tuple[JobView, ...]


class TokenRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /tokens`: who the token is for and what it allows.

    `scope` is one or several scopes, separated by spaces; `runs` and `jobs` are globs that narrow
    it. `sub` defaults to the caller's own name. `lifetime` is a duration such as `"12h"`.
    """

    scope: str
    sub: str | None = None
    runs: tuple[str, ...] | None = None
    jobs: tuple[str, ...] | None = None
    lifetime: str | float = "24h"


class TokenView(Struct, frozen=True, kw_only=True):
    """A token that this server made, without the token itself. `jti` is its name."""

    jti: str
    sub: str
    scope: str
    runs: tuple[str, ...] | None
    jobs: tuple[str, ...] | None
    created_at: datetime
    created_by: Actor
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: Actor | None = None


class NewToken(Struct, frozen=True, kw_only=True):
    """The answer to `POST /tokens`: the only time that the token itself is told."""

    token: str
    jti: str
    sub: str
    scope: str
    runs: tuple[str, ...] | None
    jobs: tuple[str, ...] | None
    created_at: datetime
    created_by: Actor
    expires_at: datetime


class TokenList(Struct, frozen=True):
    """`GET /tokens`: newest first, those that expired some days ago left out."""

    tokens: tuple[TokenView, ...]


class TicketRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /tickets`: the run whose stream the ticket is to open."""

    run: str


class NewTicket(Struct, frozen=True, kw_only=True):
    """The answer to `POST /tickets`: opens this run's stream once, until `expires_at`."""

    ticket: str
    run: str
    expires_at: datetime


class ReloadReport(Struct, frozen=True, kw_only=True):
    """`POST /reload`: what reading jobs.toml again has changed.

    `added`, `removed` and `changed` are names of jobs, `settings` keys that take effect now, and
    `needs_restart` keys that differ and take effect with the next start.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class DrainRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /drain`; `exit` has the server end after the last run."""

    exit: bool = False


class DrainReport(Struct, frozen=True):
    """How many runs there are to wait for, and how many stay queued for the next start."""

    running: int
    queued: int


class Readiness(Struct, frozen=True):
    """`GET /readyz`: whether runs can be taken in and carried out, and if not, what is in the way.

    `tracking` is by what means the processes of runs are known.
    """

    ready: bool
    problems: tuple[str, ...]
    tracking: Tracking | None


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 has it. `code` is stable; `field` names the input at fault."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str = ""
    field: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    run: RunView | UnsetType = UNSET
