"""What the keys of a job must be to each other, and what is odd about them. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from supervisor.config.tomltable import Table
from supervisor.errors import BadValue
from supervisor.jobs.checks import check_command
from supervisor.jobs.params import variable
from supervisor.jobs.placeholders import placeholders
from supervisor.spec import Job
from supervisor.suggest import did_you_mean

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh", "fish"})
_OPERATORS = frozenset({"|", "||", "&&", "&", ">", ">>", "2>", "2>&1", "&>"})
_VARIABLE = re.compile(r"\$\{?([A-Z][A-Z0-9_]*)", re.ASCII)
_USUAL = frozenset({"HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "TMPDIR", "USER"})


def check_job(table: Table, job: Job) -> None:
    """Note everything wrong or odd about `job` as a whole; `table` is where it was read from."""
    _check_program(table, job)
    if job.params:
        _check_placeholders(table, job)
        _check_shell_code(table, job)
    _check_autostart(table, job)
    _look_for_oddities(table, job)


def _check_program(table: Table, job: Job) -> None:
    if "command" in table and "shell" in table:
        table.wrong("give either command or shell, not both", "shell")
    elif "command" not in table and "shell" not in table:
        table.wrong('needs a command, such as command = ["echo", "hello"], or a shell line')
    for command, shell in ((job.command, None), (None, job.shell)):
        try:
            check_command(command, shell)
        except BadValue as error:
            key, _, place = (error.field or "").partition("[")
            table.wrong(error.message, key, *([int(place[:-1])] if place else []))


def _check_placeholders(table: Table, job: Job) -> None:
    for place, text in enumerate(job.command or ()):
        _check_names(table, job, text, ("command", place))
    for name, text in job.env.items():
        _check_names(table, job, text, ("env", name))
    for name in _own(job, job.shell or ""):
        hint = f'write "${variable(name)}" for the value of {name}'
        table.wrong(f"nothing is replaced in a shell line: {hint}", "shell")
    for name in _own(job, job.cwd):
        table.wrong(f"{{{name}}} is replaced in command and env only", "cwd")


def _check_names(table: Table, job: Job, text: str, keys: tuple[str | int, ...]) -> None:
    for name in placeholders(text):
        if name not in job.params:
            guess = did_you_mean(name, job.params)
            literal = f"for the text itself write {{{{{name}}}}}"
            table.wrong(f"{{{name}}} is no parameter of this job ({literal}){guess}", *keys)


def _own(job: Job, text: str) -> list[str]:
    """The job's parameters that `text` has a placeholder for."""
    return [name for name in placeholders(text) if name in job.params]


def _check_shell_code(table: Table, job: Job) -> None:
    place = _code_place(job.command or ())
    if job.command is None or place is None:
        return
    for name in _own(job, job.command[place]):
        hint = f'write "${variable(name)}" for the value of {name}'
        table.wrong(f"a value must not become shell code: {hint}", "command", place)


def _code_place(command: tuple[str, ...]) -> int | None:
    """Which argument a shell that is called as the program would read as code (sh(1), `-c`)."""
    if not command or PurePosixPath(command[0]).name not in _SHELLS:
        return None
    code_follows = False
    arguments = enumerate(command[1:], start=1)
    for place, text in arguments:
        if not text.startswith(("-", "+")):
            return place if code_follows else None
        if not text.startswith("--"):
            code_follows = code_follows or "c" in text
            if text.endswith(("o", "O")):  # as in `-o pipefail`
                next(arguments, None)
    return None


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
        for meant in _VARIABLE.findall(text):
            if meant in _USUAL or meant in job.env:
                hint = "only a shell line replaces it"
                table.odd(f"${meant} stays as it is: {hint}", "command", place)
        if text in _OPERATORS:
            hint = "only a shell line obeys it"
            table.odd(f"{text} is an argument like others: {hint}", "command", place)
