"""What limits, priorities and the like may be, whether jobs.toml or a request says it. Pure.

Each function takes a value as it was written and raises BadValue if it means nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from supervisor.conditions import Conditions, RunLimits
from supervisor.errors import BadValue
from supervisor.jobs.checks import check_timeout, path_problem
from supervisor.suggest import did_you_mean
from supervisor.units import KIB, MIB, parse_size, show_duration, show_size
from supervisor.wire import SubmitRequest

T = TypeVar("T")
_LEAST_CPU = 0.01  # cpu.max takes a quota of at least 1 ms in 100 ms
_MOST_CPU = 10_000
_LEAST_OPEN_FILES = 16  # what a process has open at its gate, and some more
_MOST = 2**31 - 1
_IO_CLASSES = ("idle", "best-effort", "realtime")
_IO_LEVELS = range(8)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}", re.ASCII)  # as systemd has it
_USER = re.compile(rf"(?:{_NAME.pattern})?(?::{_NAME.pattern})?", re.ASCII)
_UMASK = re.compile(r"0?[0-7]{3}", re.ASCII)


def read_memory(value: object) -> int:
    """Bytes for a whole run: less would not hold any program."""
    return _size(value, least=MIB)


def read_stack(value: object) -> int:
    """Bytes: less would not hold a program's arguments."""
    return _size(value, least=128 * KIB)


def _size(value: object, *, least: int) -> int:
    size = parse_size(value)
    if size < least:
        text = f"{least // MIB}M" if least >= MIB else f"{least // KIB}K"
        raise BadValue(f"must be at least {text}")
    return size


def read_cpu(value: object) -> float:
    """So many processors at once, 0.01 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise BadValue(f"must be a number of processors, such as 1.5, not {value!r}")
    if not _LEAST_CPU <= value <= _MOST_CPU:
        raise BadValue(f"must be from {_LEAST_CPU} to {_MOST_CPU} processors, not {value}")
    return float(value)


def read_cpu_time(value: object) -> int:
    """Whole seconds, which is how exactly the kernel counts here (RLIMIT_CPU); at least 1."""
    return math.ceil(check_timeout(value))


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(f"must be a whole number from {least} to {most}, not {value!r}")
        if not least <= value <= most:
            raise BadValue(f"must be from {least} to {most}, not {value}")
        return value

    return read


read_nice = _whole(-20, 19)
"""A nice value; the higher, the less a program gets of a busy processor."""

LIMITS: Mapping[str, Callable[[object], int | float]] = MappingProxyType(
    {
        "memory": read_memory,
        "cpu": read_cpu,
        "pids": _whole(1, 2**22),
        "io_weight": _whole(1, 10_000),
        "nofile": _whole(_LEAST_OPEN_FILES, _MOST),
        "core": parse_size,
        "stack": read_stack,
        "data": parse_size,
        "cpu_time": read_cpu_time,
    }
)
"""What `limits` may have, and how each is read."""
_SHOW: Mapping[str, Callable[[float], str]] = MappingProxyType(
    dict.fromkeys(("memory", "core", "stack", "data"), show_size)
    | {"cpu_time": show_duration}
    | dict.fromkeys(("pids", "nofile"), str)
)
_FIELD_OF = MappingProxyType({"cpu_time": "cpu_time_s"})


def make_limits(values: Mapping[str, int | float | None]) -> RunLimits:
    """Of values that were read already, by the names in `LIMITS`."""
    return RunLimits(**{_FIELD_OF.get(name, name): value for name, value in values.items()})  # type: ignore[arg-type]


def show_limits(limits: RunLimits) -> dict[str, str]:
    """Each limit there is as it would be written, by its name in jobs.toml."""
    shown = {}
    for name in LIMITS:
        value = getattr(limits, _FIELD_OF.get(name, name))
        if value is not None:
            shown[name] = _SHOW.get(name, "{:g}".format)(value)
    return shown


def read_ionice(value: object) -> str:
    """`idle`, `best-effort` or `realtime`, the latter two with a level if need be: `realtime:0`."""
    examples = 'write "idle", "best-effort", or with a level from 0 (first) to 7 "best-effort:7"'
    if not isinstance(value, str):
        raise BadValue(f"must be a string: {examples}")
    name, colon, level = value.partition(":")
    if name not in _IO_CLASSES:
        raise BadValue(f'there is no I/O class "{name}"{did_you_mean(name, _IO_CLASSES)}')
    if colon and (name == "idle" or level not in map(str, _IO_LEVELS)):
        raise BadValue(f'"{value}" is no I/O priority: {examples}')
    return value


def io_priority(ionice: str) -> int:
    """The number that ioprio_set(2) takes for it."""
    name, _, level = ionice.partition(":")
    number = {"realtime": 1, "best-effort": 2, "idle": 3}[name]
    return number << 13 | (0 if name == "idle" else int(level or "4"))


def read_umask(value: object) -> str:
    """Four octal digits."""
    if not isinstance(value, str) or not _UMASK.fullmatch(value):
        raise BadValue('must be octal digits between quotes, such as "022" or "0077"')
    return value.rjust(4, "0")


def read_user(value: object) -> str:
    """`USER`, `USER:GROUP` or `:GROUP`, by names or numbers."""
    if not isinstance(value, str) or not _USER.fullmatch(value) or not value.strip(":"):
        raise BadValue('must be a user, or a user and a group: "build", "build:staff"')
    return value


def read_groups(value: object) -> tuple[str, ...]:
    """Names or numbers of groups, without repeats."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadValue('must be a list of groups, such as ["video"]')
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadValue(f"{name!r} cannot be the name of a group")
    return tuple(dict.fromkeys(value))


def read_inherit_env(value: object) -> tuple[str, ...]:
    """Names of variables, `*` standing for any text, without repeats."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadValue('must be a list of names, such as ["PATH", "LC_*"]; [] for none')
    for name in value:
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise BadValue(f"{name!r} cannot be the name of a variable")
    return tuple(dict.fromkeys(value))


def _whole_path(value: object) -> str:
    """An absolute path: a request knows no directory that another could start from."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise BadValue("must be a whole path, from / on")
    problem = path_problem(value)
    if problem:
        raise BadValue(problem)
    return value


def read_wish(request: SubmitRequest) -> Conditions:
    """The conditions that a request asks for. Raises BadValue that names the field."""
    wish = request.limits
    given = {} if wish is None else {name: getattr(wish, name) for name in LIMITS}
    return Conditions(
        limits=make_limits(
            {name: _field(f"limits.{name}", LIMITS[name], given[name]) for name in given}
        ),
        nice=_field("nice", read_nice, request.nice),
        ionice=_field("ionice", read_ionice, request.ionice),
        umask=_field("umask", read_umask, request.umask),
        user=_field("user", read_user, request.user),
        supplementary_groups=_field(
            "supplementary_groups", read_groups, request.supplementary_groups
        )
        or (),
        inherit_env=_field("inherit_env", read_inherit_env, request.inherit_env),
        env_file=_field("env_file", _whole_path, request.env_file),
    )


def _field(name: str, read: Callable[[object], T], value: object) -> T | None:
    try:
        return None if value is None else read(value)
    except BadValue as error:
        raise BadValue(error.message, field=name) from None
