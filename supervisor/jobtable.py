"""The tables `[jobs.NAME]` of jobs.toml: from TOML to `Job`. Pure."""

from __future__ import annotations

import math
import posixpath
import re
import warnings

from supervisor.checks import (
    PRIORITIES,
    check_command,
    check_tags,
    check_timeout,
    text_problem,
    variable_problem,
)
from supervisor.errors import BadValue
from supervisor.model import Job, Param, ParamKind, ParamValue, StopPolicy
from supervisor.params import PARAM_NAME, check_value, shown, variable
from supervisor.placeholders import placeholders
from supervisor.signals import parse_signal
from supervisor.suggest import did_you_mean
from supervisor.tomltable import Table
from supervisor.units import parse_duration

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_KINDS = tuple(kind.value for kind in ParamKind)
_DEFAULT_STOP = StopPolicy()


def read_jobs(table: Table, base: str) -> dict[str, Job]:
    """Every job of `[jobs]`, in file order. `base` (absolute) is what a relative cwd starts from."""
    return {name: _read_job(table.table(name), name, base) for name in table.keys()}  # noqa: SIM118


def _read_job(table: Table, name: str, base: str) -> Job:
    if not _JOB_NAME.fullmatch(name):
        table.wrong(
            f'"{name}" cannot be a job\'s name: up to 64 letters, digits and . _ -, '
            "the first a letter or a digit"
        )
    params = _read_params(table.table("params"))
    job = Job(
        name=name,
        description=table.string("description", ""),
        command=table.strings("command"),
        shell=table.string("shell", None),
        cwd=_read_cwd(table, base),
        env=_read_env(table.table("env")),
        params=params,
        stop=_read_stop(table.table("stop")),
        timeout_s=table.parsed("timeout", check_timeout, None),
        concurrency=table.whole("concurrency", None, least=1),
        priority=table.whole("priority", 0, least=PRIORITIES[0], most=PRIORITIES[-1]),
        autostart=table.flag("autostart", default=False),
        tags=_read_tags(table),
    )
    table.close()
    _check_program(table, job)
    _check_placeholders(table, job)
    _check_autostart(table, job)
    return job


def _read_cwd(table: Table, base: str) -> str:
    cwd = table.string("cwd", "")
    problem = text_problem(cwd) if cwd or "cwd" not in table else "must not be empty"
    if problem:
        table.wrong(problem, "cwd")
    return posixpath.normpath(posixpath.join(base, cwd))


def _read_env(table: Table) -> dict[str, str]:
    env: dict[str, str] = {}
    for name in table.keys():  # noqa: SIM118
        value = table.value(name)
        if not isinstance(value, str):
            hint = f'; write {name} = "{shown(value)}"' if isinstance(value, (int, float)) else ""
            table.wrong(f"must be a string{hint}", name)
            continue
        problem = variable_problem(name) or text_problem(value)
        if problem:
            table.wrong(problem, name)
        env[name] = value
    return env


def _read_stop(table: Table) -> StopPolicy:
    signal = table.parsed("signal", parse_signal, _DEFAULT_STOP.signal)
    grace_s = table.parsed("grace", parse_duration, _DEFAULT_STOP.grace_s)
    table.close()
    return StopPolicy(signal, grace_s)


def _read_tags(table: Table) -> tuple[str, ...]:
    tags = table.strings("tags") or ()
    try:
        return check_tags(tags)
    except BadValue as error:
        table.wrong(error.message, "tags")
        return ()


def _read_params(table: Table) -> dict[str, Param]:
    params: dict[str, Param] = {}
    variables: dict[str, str] = {}
    for name in table.keys():  # noqa: SIM118
        if not PARAM_NAME.fullmatch(name):
            table.wrong("a parameter's name is made of letters, digits and _, no digit first", name)
        twin = variables.setdefault(variable(name), name)
        if twin != name:
            table.wrong(
                f"{twin} and {name} would both be {variable(name)} in the environment", name
            )
        params[name] = _read_param(table.table(name))
    return params


def _read_param(table: Table) -> Param:
    param = Param(
        type=_read_kind(table),
        description=table.string("description", ""),
        min=table.parsed("min", _number, None),
        max=table.parsed("max", _number, None),
        pattern=table.parsed("pattern", _pattern, None),
        choices=table.strings("choices") or (),
    )
    default = table.value("default")
    table.close()
    _check_param(table, param)
    if default is None:
        return param
    return _with_default(table, param, default)


def _read_kind(table: Table) -> ParamKind:
    text = table.string("type", ParamKind.STRING.value)
    if text not in _KINDS:
        guess = did_you_mean(text, _KINDS)
        table.wrong(f'there is no type "{text}", only {", ".join(_KINDS)}{guess}', "type")
        return ParamKind.STRING
    return ParamKind(text)


def _check_param(table: Table, param: Param) -> None:
    takes = {
        "min": (ParamKind.INT, ParamKind.FLOAT),
        "max": (ParamKind.INT, ParamKind.FLOAT),
        "pattern": (ParamKind.STRING,),
        "choices": (ParamKind.CHOICE,),
    }
    for key, kinds in takes.items():
        if key in table and param.type not in kinds:
            wanted = " or ".join(f'"{kind}"' for kind in kinds)
            table.wrong(f'is only for type = {wanted}, this is "{param.type}"', key)
    if param.type is ParamKind.CHOICE and not param.choices:
        table.wrong('needs choices, such as choices = ["small", "large"]')
    if param.min is not None and param.max is not None and param.min > param.max:
        table.wrong(f"min {param.min} is above max {param.max}", "min")


def _with_default(table: Table, param: Param, default: object) -> Param:
    try:
        value: ParamValue = check_value(param, default)
    except BadValue as error:
        table.wrong(error.message, "default")
        return param
    return Param(
        type=param.type,
        description=param.description,
        default=value,
        min=param.min,
        max=param.max,
        pattern=param.pattern,
        choices=param.choices,
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadValue(f"must be a number, not {shown(value)}")
    return value


def _pattern(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue(f"must be a regular expression in a string, not {shown(value)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(value)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise BadValue(f"is not a regular expression: {error}") from None
    return value


def _check_program(table: Table, job: Job) -> None:
    if "command" in table and "shell" in table:
        table.wrong("give either command or shell, not both", "shell")
    elif "command" not in table and "shell" not in table:
        table.wrong('needs a command, such as command = ["echo", "hello"], or a shell line')
    try:
        check_command(job.command, job.shell)
    except BadValue as error:
        table.wrong(error.message, "command" if job.shell is None else "shell")


def _check_placeholders(table: Table, job: Job) -> None:
    if not job.params:
        return
    for place, text in enumerate(job.command or ()):
        _check_names(table, job, text, ("command", place))
    for name, text in job.env.items():
        _check_names(table, job, text, ("env", name))
    for key, text in (("shell", job.shell or ""), ("cwd", job.cwd)):
        for name in placeholders(text):
            if name in job.params and key == "shell":
                hint = f'write "${variable(name)}" for the value of {name}'
                table.wrong(f"nothing is replaced in a shell line: {hint}", key)
            elif name in job.params:
                table.wrong(f"{{{name}}} is replaced in command and env only", key)


def _check_names(table: Table, job: Job, text: str, keys: tuple[str | int, ...]) -> None:
    for name in placeholders(text):
        if name not in job.params:
            guess = did_you_mean(name, job.params) or f"; for the text itself write {{{{{name}}}}}"
            table.wrong(f"{{{name}}} is no parameter of this job{guess}", *keys)


def _check_autostart(table: Table, job: Job) -> None:
    missing = [name for name, param in job.params.items() if param.default is None]
    if job.autostart and missing:
        table.wrong(f"cannot start by itself: {missing[0]} has no default", "autostart")
