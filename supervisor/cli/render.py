"""How runs, events and jobs are told to people, in words. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec

from supervisor.conditions import Conditions
from supervisor.jobs.conditions import show_limits
from supervisor.model import Actor, Reason, Status, StopReceipt, StopStep
from supervisor.outcome import Meter, NamedProcess
from supervisor.spec import (
    OutputMode,
    Param,
    Stdin,
    StdinMode,
    StdinSource,
    StopPolicy,
    StopScope,
    TerminalSize,
)
from supervisor.units import MIB, show_duration
from supervisor.wire import EventView, JobView, RunView, Silence

Row = Sequence[str]

RUN_HEADINGS = ("ID", "STATUS", "CREATED", "TOOK", "WHAT")


def run_row(run: RunView, now: datetime) -> Row:
    """A run in a list on a terminal."""
    took = "" if run.duration_s is None else brief_duration(run.duration_s)
    return (run.id, how_it_is(run), f"{age(run.created_at, now)} ago", took, what_it_is(run))


def run_fields(run: RunView) -> Row:
    """A run in a list for programs: id, status, reason, exit code, times, job, command."""
    code = "" if run.exit_code is None else str(run.exit_code)
    ended = "" if run.ended_at is None else _rfc3339(run.ended_at)
    command = run.spec.shell or " ".join(run.spec.command)
    reason = run.reason or ""
    created = _rfc3339(run.created_at)
    return (run.id, run.status, reason, code, created, ended, run.job or "", command)


def what_it_is(run: RunView) -> str:
    """The job's name, or the command."""
    return run.job or run.spec.shell or " ".join(run.spec.command)


def how_it_is(run: RunView) -> str:
    """The status, and in a word or two why."""
    if run.status is Status.RUNNING and run.cancel_requested_at is not None:
        return "running (cancelling)"
    if run.paused_at is not None:
        return "running (paused)"
    if run.status is not Status.FAILED:
        return run.status
    by_itself: dict[Reason | None, str | None] = {
        Reason.EXIT_CODE: f"exit {run.exit_code}",
        Reason.SIGNAL: run.signal,
    }
    return f"failed ({by_itself.get(run.reason) or run.reason})"


def run_facts(run: RunView) -> list[tuple[str, str]]:
    """Everything worth knowing about a run."""
    spec = run.spec
    return [
        ("run", run.id),
        ("job", run.job or ""),
        ("status", how_it_is(run)),
        ("message", run.message),
        ("command", spec.shell if spec.shell is not None else _quoted(spec.command)),
        ("directory", spec.cwd),
        ("parameters", _pairs(spec.params)),
        ("environment", _pairs(spec.env)),
        ("reads", _stdin(spec.stdin)),
        ("writes", _mode(spec.output, run.terminal)),
        ("tags", ", ".join(run.tags)),
        ("priority", str(run.priority) if run.priority else ""),
        *_conditions(spec),
        ("timeout", _limit(spec.timeout_s)),
        ("queue timeout", _limit(spec.queue_timeout_s)),
        ("no output timeout", _limit(spec.no_output_timeout_s)),
        ("submitted", f"{moment(run.created_at)} by {_who(run.created_by)}"),
        ("attempt", f"{run.attempt}, of run {run.retry_of}" if run.retry_of else ""),
        ("started", "" if run.started_at is None else moment(run.started_at)),
        ("paused", _paused(run)),
        ("exited", "" if run.exited_at is None else moment(run.exited_at)),
        ("ended", "" if run.ended_at is None else moment(run.ended_at)),
        ("took", "" if run.duration_s is None else brief_duration(run.duration_s)),
        ("pid", str(run.pid) if run.pid is not None and not run.status.ended else ""),
        ("tracked by", run.tracking or ""),
        ("survives restarts", _survives(run)),
        ("exit code", "" if run.exit_code is None else str(run.exit_code)),
        ("signal", run.signal or ""),
        ("cpu", _cpu(run)),
        ("memory", _memory(run)),
        ("processes", _processes(run)),
        ("log", _log(run)),
        ("silent", "" if run.silent is None else _silence(run.silent)),
        ("output", "" if run.output_complete is not False else "cut: a descendant still held it"),
        ("output held by", _named(run.holders)),
        ("left over", _pids(run.killed, "killed: pids ")),
        ("still alive", _pids(run.survivors, "pids ")),
        ("perhaps its own", _named(run.unattributed)),
        ("stop", "" if run.stop is None else _receipt(run.stop)),
    ]


def _survives(run: RunView) -> str:
    """Whether it goes on without the server; of what has ended or not begun, there is no more to say."""
    if run.started_at is None or run.status.ended:
        return ""
    return "yes" if run.survives_restart else "no: it ends with the server"


def _conditions(conditions: Conditions) -> list[tuple[str, str]]:
    """What it may use, and how it is treated, by the names of jobs.toml."""
    return [
        ("limits", _pairs(show_limits(conditions.limits))),
        ("nice", "" if conditions.nice is None else str(conditions.nice)),
        ("ionice", conditions.ionice or ""),
        ("umask", conditions.umask or ""),
        ("user", conditions.user or ""),
        ("groups", ", ".join(conditions.supplementary_groups)),
        ("inherits", _inherited(conditions.inherit_env)),
        ("env file", conditions.env_file or ""),
    ]


def _inherited(names: Sequence[str] | None) -> str:
    if names is None:
        return ""
    return " ".join(names) or "nothing"


def _receipt(stop: StopReceipt) -> str:
    """What a stop did, a line for each signal."""
    lines = [f"{stop.cause}, asked by {_who(stop.requested_by)} at {moment(stop.requested_at)}"]
    if stop.policy is not None:
        lines.append(f"wanted: {_policy(stop.policy)}")
    if stop.forced_at is not None and stop.forced_by is not None:
        lines.append(f"force, asked by {_who(stop.forced_by)} at {moment(stop.forced_at)}")
    lines += map(_step, stop.steps)
    if stop.escalated:
        lines.append("it had to be killed: the grace ran out, or force was asked for")
    if stop.survivors:
        lines.append(_pids(stop.survivors, "not even that ended pids "))
    if stop.took_s is not None:
        lines.append(f"over after {brief_duration(stop.took_s)}")
    return "\n".join(lines)


def _step(step: StopStep) -> str:
    seen = _pids(step.pids, ", pids ")
    line = f"{moment(step.at)} {step.signal} to {step.target}{seen}: {step.result}"
    if step.took_s is None:
        return line
    left = _pids(step.left, "left were pids ") or "nobody was left"
    return f"{line}; {brief_duration(step.took_s)} later {left}"


def _policy(policy: StopPolicy) -> str:
    whom = " to its first process" if policy.scope is StopScope.MAIN else ""
    return f"{policy.signal}{whom}, after {show_duration(policy.grace_s)} KILL"


def _who(actor: Actor) -> str:
    return f"{actor.kind} {actor.name}"


def _paused(run: RunView) -> str:
    since = "" if run.paused_at is None else f"since {moment(run.paused_at)}"
    before = f"{brief_duration(run.paused_s)} in all" if run.paused_s else ""
    return ", before that ".join(filter(None, (since, before)))


def _log(run: RunView) -> str:
    trimmed = f", kept from offset {run.log.oldest}" if run.log.oldest else ""
    return f"{run.log.size} bytes{trimmed}"


_WHOSE = MappingProxyType({Meter.CGROUP: "all its processes", Meter.RUSAGE: "those it waited for"})


def _silence(silent: Silence) -> str:
    hint = "" if silent.hint is None else f": {silent.hint}"
    return f"for {brief_duration(silent.for_s)}{hint}"


def _cpu(run: RunView) -> str:
    usage = run.usage
    if usage is None:
        return ""
    return f"{usage.user_s:.3f} s user, {usage.system_s:.3f} s system ({_WHOSE[usage.cpu_by]})"


def _memory(run: RunView) -> str:
    usage = run.usage
    if usage is None or usage.peak_memory is None:
        return ""
    whose = "all its processes" if usage.memory_by is Meter.CGROUP else "the largest process"
    return f"{usage.peak_memory / MIB:.1f} MiB at most ({whose})"


def _processes(run: RunView) -> str:
    usage = run.usage
    if usage is None or usage.peak_processes is None:
        return ""
    return f"{usage.peak_processes} at most, threads too"


def _pids(pids: Sequence[int], before: str) -> str:
    return before + " ".join(map(str, pids)) if pids else ""


def _named(processes: Sequence[NamedProcess]) -> str:
    return "\n".join(f"pid {it.pid}: {it.command}" for it in processes)


def _pairs(values: Mapping[str, object]) -> str:
    return "\n".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(command: Sequence[str]) -> str:
    return shlex.join(command)


EVENT_HEADINGS = ("SEQ", "TIME", "WHO", "WHAT", "DETAILS")


def event_row(event: EventView) -> Row:
    """One event of a run's history."""
    entry = event.entry
    facts = msgspec.to_builtins(entry.event)
    what = str(facts.pop("type"))
    details = "" if what == "submitted" else msgspec.json.encode(facts).decode()
    who = f"{entry.by.kind} {entry.by.name}"
    return (str(event.run_seq), moment(entry.at.wall), who, what, details)


JOB_HEADINGS = ("JOB", "LAST RUN", "PARAMETERS", "DESCRIPTION")


def job_row(job: JobView) -> Row:
    """A job in a list."""
    last = "" if job.last_run is None else how_it_is(job.last_run)
    return (job.name, last, " ".join(job.params), job.description)


def job_facts(job: JobView) -> list[tuple[str, str]]:
    """Everything worth knowing about a job."""
    last = job.last_run
    return [
        ("job", job.name),
        ("description", job.description),
        ("command", job.shell if job.shell is not None else _quoted(job.command or ())),
        ("directory", job.cwd),
        ("parameters", "\n".join(_param(name, param) for name, param in job.params.items())),
        ("tags", ", ".join(job.tags)),
        ("stopped by", _policy(job.stop)),
        ("reads", _stdin(job.stdin)),
        ("writes", _mode(job.output, job.terminal)),
        *_conditions(job),
        ("timeout", _limit(job.timeout_s)),
        ("queue timeout", _limit(job.queue_timeout_s)),
        ("no output timeout", _limit(job.no_output_timeout_s)),
        ("concurrency", "" if job.concurrency is None else str(job.concurrency)),
        ("priority", str(job.priority) if job.priority else ""),
        ("autostart", "yes" if job.autostart else ""),
        ("last run", "" if last is None else f"{last.id} {how_it_is(last)}"),
    ]


def _param(name: str, param: Param) -> str:
    bounds = [
        "required" if param.default is None else f"default {_value(param.default)}",
        "" if param.min is None else f"at least {param.min:g}",
        "" if param.max is None else f"at most {param.max:g}",
        "" if param.pattern is None else f"like {param.pattern}",
        "one of " + ", ".join(param.choices) if param.choices else "",
        param.description,
    ]
    return f"{name} ({param.type}): " + "; ".join(text for text in bounds if text)


def moment(at: datetime) -> str:
    """A time in this machine's time zone, to the millisecond."""
    local = at.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {local:%Z}"


def _rfc3339(at: datetime) -> str:
    """A time as the API's JSON has it."""
    return msgspec.json.encode(at).decode().strip('"')


def age(at: datetime, now: datetime) -> str:
    """How long ago that was, in its largest unit: `12s`, `3m`, `5h`, `2d`."""
    seconds = max(0, int((now - at).total_seconds()))
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size_s:
            return f"{seconds // size_s}{unit}"
    return f"{seconds}s"


def brief_duration(seconds: float) -> str:
    """A measured time for people: `0.032s`, `4.1s`, `1m5s`, `2h3m`."""
    if seconds < 60:
        return f"{seconds:.3f}s" if seconds < 1 else f"{seconds:.1f}s"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if hours else f"{minutes}m{rest_s}s"


def _stdin(stdin: Stdin) -> str:
    if isinstance(stdin, StdinSource):
        return f"the file {stdin.file}" if stdin.file is not None else "a text of its own"
    return "what is sent to it" if stdin is StdinMode.OPEN else ""


def _mode(output: OutputMode, size: TerminalSize | None) -> str:
    if size is not None:
        return f"{output}, {size.columns} columns, {size.rows} rows"
    return "" if output is OutputMode.SPLIT else output.value


def _limit(seconds: float | None) -> str:
    return "" if seconds is None else show_duration(seconds)
