"""The tables `[jobs.NAME]` of jobs.toml: from TOML to `Job`. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from types import MappingProxyType

from supervisor.config.jobcheck import check_job
from supervisor.config.paramtable import read_params
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
from supervisor.model import Job, StopPolicy
from supervisor.signals import parse_signal
from supervisor.units import parse_duration

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DEFAULT_STOP = StopPolicy()
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
    table.close()
    return StopPolicy(signal, grace_s)


def _read_tags(table: Table) -> tuple[str, ...]:
    tags = table.strings("tags") or ()
    try:
        return check_tags(tags)
    except BadValue as error:
        table.wrong(error.message, "tags")
        return ()
