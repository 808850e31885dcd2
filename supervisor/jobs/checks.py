"""What a value must be to mean anything to a run, whether jobs.toml or a request says it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from supervisor.errors import BadValue
from supervisor.units import KIB, parse_duration
from supervisor.wire import RUN_ID_PATTERN

MAX_TEXT = 64 * KIB  # bytes; the kernel takes 128 KiB for one argument (execve(2))
PRIORITIES = range(-1000, 1001)
MAX_TAGS = 32
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+=-]{0,63}", re.ASCII)
_OWN_VARIABLES = (
    "RUNWIRE_URL",
    "RUNWIRE_TOKEN",
    "RUNWIRE_TOKEN_FILE",
    "RUNWIRE_SOCKET",
    "RUNWIRE_STATE_DIR",
)


def is_run_id(text: str) -> bool:
    """Whether a run can have this id. It is part of file names, so nothing else will do."""
    return re.fullmatch(RUN_ID_PATTERN, text) is not None


def check_new_id(run_id: str) -> None:
    """Raise BadValue if no run can have this id."""
    if not is_run_id(run_id):
        raise BadValue(
            "must be 1 to 64 letters, digits, dots, dashes and underscores, "
            "and begin with a letter or a digit",
            field="id",
        )


def text_problem(value: str) -> str | None:
    """Why `value` cannot be an argument or an environment variable of a program, if it cannot."""
    if "\0" in value:
        return "must not contain a NUL character"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "is not valid text: it contains half of a surrogate pair"
    return f"is too long: {size} bytes, {MAX_TEXT} are allowed" if size > MAX_TEXT else None


def path_problem(path: str) -> str | None:
    """Why `path` cannot be a path that somebody meant, if it cannot."""
    if not path:
        return "must not be empty"
    if path.startswith("~"):
        return "~ means nothing here; write the whole path"
    return text_problem(path)


def check_command(command: Sequence[str] | None, shell: str | None) -> None:
    """Raise BadValue if the argument list or the shell line cannot be executed by anybody."""
    if command is not None and (not command or not command[0]):
        raise BadValue("must begin with the program to run", field="command")
    for place, text in enumerate(command or ()):
        problem = text_problem(text)
        if problem:
            raise BadValue(problem, field=f"command[{place}]")
    if shell is not None:
        problem = "must not be empty" if not shell.strip() else text_problem(shell)
        if problem:
            raise BadValue(problem, field="shell")


def check_env(env: Mapping[str, str]) -> None:
    """Raise BadValue, for `env.NAME`, if a name or a value cannot be in an environment."""
    for name, value in env.items():
        problem = variable_problem(name) or text_problem(value)
        if problem:
            raise BadValue(problem, field=f"env.{name}")


def variable_problem(name: str) -> str | None:
    """Why `name` cannot name an environment variable of a run, if it cannot."""
    if not name or "=" in name:
        return "the name of a variable must not be empty or contain ="
    if name.startswith("RUNWIRE_") and name not in _OWN_VARIABLES:
        return "names that begin with RUNWIRE_ are set by Runwire itself"
    return text_problem(name)


def check_timeout(value: object, *, field: str | None = None) -> float:
    """Seconds, more than 0. Raises BadValue."""
    seconds = parse_duration(value, field=field)
    if seconds == 0:
        raise BadValue("must be longer than 0; leave it out for no limit", field=field)
    return seconds


def check_priority(value: int) -> int:
    """A priority within bounds. Raises BadValue."""
    if value not in PRIORITIES:
        bounds = f"from {PRIORITIES[0]} to {PRIORITIES[-1]}"
        raise BadValue(f"must be a whole number {bounds}, not {value}", field="priority")
    return value


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags without repeats. Raises BadValue."""
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise BadValue(
                f'"{tag}" cannot be a tag: up to 64 letters, digits and . _ : / @ + = -, '
                "the first a letter or a digit",
                field="tags",
            )
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > MAX_TAGS:
        raise BadValue(f"too many tags: {len(unique)}, {MAX_TAGS} are allowed", field="tags")
    return unique
