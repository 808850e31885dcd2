"""The tables `[jobs.NAME]` of jobs.toml: from TOML to `Job`. Pure."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePosixPath
from types import MappingProxyType

from supervisor.checks import (
    PRIORITIES,
    check_command,
    check_tags,
    check_timeout,
    path_problem,
    text_problem,
    variable_problem,
)
from supervisor.errors import BadValue
from supervisor.model import Job, StopPolicy
from supervisor.params import shown, variable
from supervisor.paramtable import read_params
from supervisor.placeholders import placeholders
from supervisor.signals import parse_signal
from supervisor.suggest import did_you_mean
from supervisor.tomltable import Table
from supervisor.units import parse_duration

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DEFAULT_STOP = StopPolicy()
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh", "fish"})
_OPERATORS = frozenset({"|", "||", "&&", "&", ">", ">>", "2>", "2>&1", "&>"})
_VARIABLE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{[A-Z_][A-Z0-9_]*\})", re.ASCII)
_OTHER_NAMES = MappingProxyType(
    {
        "args": "command",
        "argv": "command",
        "cmd": "command",
        "exec": "command",
        "program": "command",
        "run": "command",
        "script": "shell",
        "chdir": "cwd",
        "dir": "cwd",
        "directory": "cwd",
        "workdir": "cwd",
        "working_dir": "cwd",
        "working_directory": "cwd",
        "environment": "env",
        "environ": "env",
        "grace": "stop.grace",
        "kill_signal": "stop.signal",
        "kill_timeout": "stop.grace",
        "max_running": "concurrency",
        "numprocs": "concurrency",
        "signal": "stop.signal",
        "stop_signal": "stop.signal",
        "stopsignal": "stop.signal",
        "stop_timeout": "stop.grace",
        "stopwaitsecs": "stop.grace",
        "time_limit": "timeout",
    }
)


def read_jobs(table: Table, base: str) -> dict[str, Job]:
    """Every job of `[jobs]`, in file order. `base` (absolute) is what a relative cwd starts from."""
    jobs: dict[str, Job] = {}
    for name in table.names():
        if isinstance(table.value(name), dict):
            jobs[name] = _read_job(table.table(name), name, base)
        else:
            table.wrong("must be a table: a job is written below a line [jobs.NAME]", name)
    return jobs


def _read_job(table: Table, name: str, base: str) -> Job:
    if not _JOB_NAME.fullmatch(name):
        table.wrong(
            f'"{name}" cannot be a job\'s name: up to 64 letters, digits and . _ -, '
            "the first a letter or a digit"
        )
    params = read_params(table.table("params"))
    job = Job(
        name=name,
        description=table.string("description", ""),
        command=_read_command(table),
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
    table.close(_OTHER_NAMES)
    _check_program(table, job)
    _check_placeholders(table, job)
    _check_autostart(table, job)
    _look_for_oddities(table, job)
    return job


def _read_cwd(table: Table, base: str) -> str:
    cwd = table.string("cwd", ".")
    problem = path_problem(cwd)
    if problem:
        table.wrong(problem, "cwd")
    return str(PurePosixPath(base, cwd))


def _read_env(table: Table) -> dict[str, str]:
    env: dict[str, str] = {}
    for name in table.names():
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


def _check_program(table: Table, job: Job) -> None:
    if "command" in table and "shell" in table:
        table.wrong("give either command or shell, not both", "shell")
    elif "command" not in table and "shell" not in table:
        table.wrong('needs a command, such as command = ["echo", "hello"], or a shell line')
    for command, shell in ((job.command, None), (None, job.shell)):
        try:
            check_command(command, shell)
        except BadValue as error:
            table.wrong(error.message, "command" if shell is None else "shell")


def _read_command(table: Table) -> tuple[str, ...] | None:
    command = table.value("command")
    if isinstance(command, str):
        words = ", ".join(f'"{word}"' for word in command.split()) or '"echo", "hello"'
        table.wrong(f"must be a list: write [{words}], or a shell line as shell = ...", "command")
        return None
    return table.strings("command")


def _check_placeholders(table: Table, job: Job) -> None:
    if not job.params:
        return
    for place, text in enumerate(job.command or ()):
        _check_names(table, job, text, ("command", place))
    for name, text in job.env.items():
        _check_names(table, job, text, ("env", name))
    for name in _own(job, job.shell or ""):
        hint = f'write "${variable(name)}" for the value of {name}'
        table.wrong(f"nothing is replaced in a shell line: {hint}", "shell")
    for name in _own(job, job.cwd):
        table.wrong(f"{{{name}}} is replaced in command and env only", "cwd")
    for name in _own(job, _shell_code(job.command or ())):
        hint = f'write "${variable(name)}" for the value of {name}'
        table.wrong(f"a value must not become part of shell code: {hint}", "command")


def _check_names(table: Table, job: Job, text: str, keys: tuple[str | int, ...]) -> None:
    for name in placeholders(text):
        if name not in job.params:
            guess = did_you_mean(name, job.params)
            literal = f"for the text itself write {{{{{name}}}}}"
            table.wrong(f"{{{name}}} is no parameter of this job ({literal}){guess}", *keys)


def _own(job: Job, text: str) -> list[str]:
    """The job's parameters that `text` has a placeholder for."""
    return [name for name in placeholders(text) if name in job.params]


def _shell_code(command: tuple[str, ...]) -> str:
    """What a shell that is called as the program would read as code: `sh -c CODE`."""
    if not command or PurePosixPath(command[0]).name not in _SHELLS:
        return ""
    for option, code in pairwise(command[1:]):
        if not option.startswith("-"):
            return ""
        if option.endswith("c") and not option.startswith("--"):
            return code
    return ""


def _check_autostart(table: Table, job: Job) -> None:
    missing = [name for name, param in job.params.items() if param.default is None]
    if job.autostart and missing:
        table.wrong(f"cannot start by itself: {missing[0]} has no default", "autostart")


def _look_for_oddities(table: Table, job: Job) -> None:
    if job.stop.signal == "KILL" and "grace" in table.table("stop"):
        table.odd("means nothing with KILL, which no program can wait for", "stop", "grace")
    command = job.command or ()
    if not command or PurePosixPath(command[0]).name in _SHELLS:
        return
    if len(command) == 1 and " " in command[0]:
        table.odd(
            "is one program with spaces in its name; give each word its own quotes", "command"
        )
    for place, text in enumerate(command):
        variables = _VARIABLE.search(text)
        if variables:
            table.odd(
                f"{variables[0]} stays as it is: only a shell line replaces it", "command", place
            )
        if text in _OPERATORS:
            table.odd(
                f"{text} is an argument like others: only a shell line obeys it", "command", place
            )
