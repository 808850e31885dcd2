"""From what was asked for to what is executed: a request and its job become a `RunSpec`. Pure.

A run's spec is resolved once, when it is submitted; nothing is looked up later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import structs

from supervisor.conditions import Conditions, with_conditions
from supervisor.errors import BadRequest, BadValue, NoSuchJob
from supervisor.jobs.checks import (
    check_command,
    check_env,
    check_priority,
    check_tags,
    check_timeout,
    path_problem,
)
from supervisor.jobs.conditions import read_wish
from supervisor.jobs.params import bind_params, to_text, variable
from supervisor.jobs.placeholders import fill
from supervisor.jobs.stdio import READS_TERMINAL, check_stdin
from supervisor.signals import parse_signal
from supervisor.spec import Job, OutputMode, RunSpec, StdinMode, StdinSource, StopPolicy
from supervisor.suggest import did_you_mean
from supervisor.units import parse_duration
from supervisor.wire import CancelRequest, StopWish, SubmitRequest

SHELL = ("/bin/sh", "-c")


def resolve_request(request: SubmitRequest, jobs: Mapping[str, Job], *, cwd: str) -> RunSpec:
    """What `request` executes: a job of `jobs`, or its own command in `cwd` (absolute).

    Raises BadRequest if it names neither or both, NoSuchJob, and BadValue naming the field.
    """
    if request.job is None:
        return resolve_adhoc(request, cwd=cwd)
    if request.job not in jobs:
        guess = did_you_mean(request.job, jobs)
        raise NoSuchJob(f'there is no job "{request.job}"{guess}', field="job")
    return resolve(jobs[request.job], request)


def resolve(job: Job, request: SubmitRequest) -> RunSpec:
    """What a run of `job` executes, with the parameters and the overrides of `request`.

    Raises BadRequest for a field that only an ad-hoc command can have, BadValue naming the field.
    """
    for field in ("command", "shell"):
        if getattr(request, field) is not None:
            raise BadRequest(f"give either job or {field}, not both", field=field)
    for field in ("cwd", "env", "stdin"):
        if getattr(request, field) not in (None, {}):
            raise BadRequest(f"a job's {field} cannot be changed by a request", field=field)
    for field in Conditions.__struct_fields__:
        if getattr(request, field) is not None:
            raise BadRequest(f"a job's {field} cannot be changed by a request", field=field)
    values = bind_params(job, request.params)
    texts = {name: to_text(value) for name, value in values.items()}
    spec = RunSpec(
        job=job.name,
        argv=_argv(job.command, job.shell, texts),
        shell=job.shell,
        cwd=job.cwd,
        env=_filled(job.env, texts) | {variable(name): text for name, text in texts.items()},
        params=values,
        stop=job.stop,
        timeout_s=job.timeout_s,
        queue_timeout_s=job.queue_timeout_s,
        no_output_timeout_s=job.no_output_timeout_s,
        concurrency=job.concurrency,
        priority=job.priority,
        tags=job.tags,
        log_limit=job.log_limit,
        output=job.output,
        stdin=job.stdin,
        terminal=job.terminal,
    )
    return _override(with_conditions(spec, job), request)


def resolve_adhoc(request: SubmitRequest, *, cwd: str) -> RunSpec:
    """What an ad-hoc command executes. A relative `request.cwd` is taken from `cwd`.

    Raises BadRequest if there is no command, or one too many, BadValue naming the field.
    """
    if request.command is None and request.shell is None:
        raise BadRequest("give job, command or shell")
    if request.command is not None and request.shell is not None:
        raise BadRequest("give either command or shell, not both", field="shell")
    if request.params:
        raise BadRequest("only a job has parameters", field="params")
    check_command(request.command, request.shell)
    check_env(request.env)
    spec = RunSpec(
        argv=_argv(request.command, request.shell, {}),
        shell=request.shell,
        cwd=_directory(request.cwd, cwd),
        env=dict(request.env),
        stdin=StdinMode.CLOSED if request.stdin is None else check_stdin(request.stdin),
    )
    return _override(with_conditions(spec, read_wish(request)), request)


def _argv(
    command: Sequence[str] | None, shell: str | None, texts: Mapping[str, str]
) -> tuple[str, ...]:
    if command is None:
        return (*SHELL, shell or "")
    argv = tuple(fill(arg, texts) for arg in command) if texts else tuple(command)
    if not argv[0]:
        raise BadValue("the program's name comes out empty with these parameters", field="params")
    return argv


def _filled(env: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, str]:
    return {name: fill(value, texts) if texts else value for name, value in env.items()}


def _directory(wanted: str | None, default: str) -> str:
    if wanted is None:
        return default
    problem = path_problem(wanted)
    if problem:
        raise BadValue(problem, field="cwd")
    return str(PurePosixPath(default, wanted))


def _override(spec: RunSpec, request: SubmitRequest) -> RunSpec:
    """`spec` with what the request wants otherwise. Its tags come in addition to the job's."""
    for field in ("timeout", "queue_timeout", "no_output_timeout"):
        wanted = getattr(request, field)
        if wanted is not None:
            spec = structs.replace(spec, **{f"{field}_s": check_timeout(wanted, field=field)})
    if request.stop is not None:
        spec = structs.replace(spec, stop=override_stop(spec.stop, request.stop, within="stop."))
    if request.output is not None:
        spec = structs.replace(spec, output=request.output)
    if request.terminal is not None:
        spec = structs.replace(spec, terminal=request.terminal)
    if spec.output is OutputMode.PTY and isinstance(spec.stdin, StdinSource):
        raise BadValue(READS_TERMINAL, field="stdin")
    if request.priority is not None:
        spec = structs.replace(spec, priority=check_priority(request.priority))
    tags = check_tags((*spec.tags, *request.tags))
    return structs.replace(spec, tags=tags)


def override_stop(
    policy: StopPolicy, wish: StopWish | CancelRequest, *, within: str = ""
) -> StopPolicy:
    """`policy` with what `wish` names instead; `within` prefixes field names.

    Raises BadValue for `signal` or `grace`.
    """
    signal, grace_s = policy.signal, policy.grace_s
    if wish.signal is not None:
        signal = parse_signal(wish.signal, field=f"{within}signal")
    if wish.grace is not None:
        grace_s = parse_duration(wish.grace, field=f"{within}grace")
    return StopPolicy(signal, grace_s, wish.scope or policy.scope)
