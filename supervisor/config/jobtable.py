"""The tables `[jobs.NAME]` of jobs.toml: from TOML to `Job`. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from types import MappingProxyType

from supervisor.conditions import with_conditions
from supervisor.config.conditiontable import read_conditions
from supervisor.config.jobcheck import check_job
from supervisor.config.paramtable import read_params
from supervisor.config.stdintable import read_stdin, read_terminal
from supervisor.config.tomltable import Table
from supervisor.errors import BadValue
from supervisor.jobs.checks import (
    PRIORITIES,
    check_tags,
    check_timeout,
    path_problem,
    text_problem,
    variable_problem,
)
from supervisor.jobs.params import shown
from supervisor.jobs.stdio import check_output
from supervisor.signals import parse_signal
from supervisor.spec import Job, LogLimit, OnFull, OutputMode, StopPolicy, StopScope
from supervisor.suggest import did_you_mean
from supervisor.units import KIB, parse_duration, parse_size

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DEFAULT_STOP = StopPolicy()
_LEAST_LOG = 64 * KIB
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
        "log_limit": "max_log",
        "stdout_logfile_maxbytes": "max_log",
        "redirect_stderr": "output",
        "kill_timeout": "stop.grace",
        "max_running": "concurrency",
        "numprocs": "concurrency",
        "input": "stdin",
        "pty": "output",
        "tty": "output",
        "signal": "stop.signal",
        "stop_signal": "stop.signal",
        "stopsignal": "stop.signal",
        "stop_timeout": "stop.grace",
        "stopwaitsecs": "stop.grace",
        "memory": "limits.memory",
        "nofile": "limits.nofile",
        "cpu": "limits.cpu",
        "pids": "limits.pids",
        "max_memory": "limits.memory",
        "ulimit": "limits",
        "rlimits": "limits",
        "niceness": "nice",
        "resources": "limits",
        "gid": "user",
        "group": "user",
        "groups": "supplementary_groups",
        "envfile": "env_file",
        "pass_env": "inherit_env",
        "pass_environment": "inherit_env",
        "time_limit": "timeout",
        "uid": "user",
        "username": "user",
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
    output = table.parsed("output", check_output, OutputMode.SPLIT)
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
        queue_timeout_s=table.parsed("queue_timeout", check_timeout, None),
        no_output_timeout_s=table.parsed("no_output_timeout", check_timeout, None),
        concurrency=table.whole("concurrency", None, least=1),
        priority=table.whole("priority", 0, least=PRIORITIES[0], most=PRIORITIES[-1]),
        autostart=table.flag("autostart", default=False),
        tags=_read_tags(table),
        log_limit=read_log_limit(table),
        output=output,
        stdin=read_stdin(table),
        terminal=read_terminal(table, output),
    )
    job = with_conditions(job, read_conditions(table, base))
    table.close(_OTHER_NAMES)
    check_job(table, job)
    return job


def _read_command(table: Table) -> tuple[str, ...] | None:
    command = table.value("command")
    if isinstance(command, str):
        words = ", ".join(f'"{word}"' for word in command.split()) or '"echo", "hello"'
        table.wrong(f"must be a list: write [{words}], or a shell line as shell = ...", "command")
        return None
    return table.strings("command")


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
    scope = table.parsed("scope", _scope, _DEFAULT_STOP.scope)
    table.close()
    return StopPolicy(signal, grace_s, scope)


def _scope(value: object) -> StopScope:
    if value not in list(StopScope):
        hint = did_you_mean(value, StopScope) if isinstance(value, str) else ""
        raise BadValue(f"{value!r} is none of {', '.join(StopScope)}{hint}")
    return StopScope(str(value))


def read_log_limit(table: Table) -> LogLimit | None:
    """The keys `max_log` and `on_full`, which jobs and `[supervisor]` have."""
    max_bytes = table.parsed("max_log", _log_size, None)
    on_full = table.parsed("on_full", _on_full, None)
    if max_bytes is None:
        if on_full is not None:
            table.wrong("says what happens when max_log is reached, and there is none", "on_full")
        return None
    return LogLimit(max_bytes, on_full or OnFull.TRUNCATE_HEAD)


def _log_size(value: object) -> int:
    size = parse_size(value)
    if size < _LEAST_LOG:
        raise BadValue(f"must be at least {_LEAST_LOG // KIB}K")
    return size


def _on_full(value: object) -> OnFull:
    if value not in list(OnFull):
        hint = did_you_mean(value, OnFull) if isinstance(value, str) else ""
        raise BadValue(f"{value!r} is none of {', '.join(OnFull)}{hint}")
    return OnFull(str(value))


def _read_tags(table: Table) -> tuple[str, ...]:
    tags = table.strings("tags") or ()
    try:
        return check_tags(tags)
    except BadValue as error:
        table.wrong(error.message, "tags")
        return ()
