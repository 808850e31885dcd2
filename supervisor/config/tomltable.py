"""A table of a TOML file, read key by key, with every mistake noted at its line. Pure.

A getter names a key, says what it must be, and gives its value or the default. What is wrong is
noted and the default given instead, so that reading goes on and all mistakes come out together.
The keys asked for are the keys there are: `close` refuses the rest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from supervisor.config.tomltext import Path, Toml
from supervisor.errors import BadValue
from supervisor.jobs.params import shown
from supervisor.suggest import did_you_mean

T = TypeVar("T")
_MOST = 2**31 - 1
_FEW = 8


class Notes:
    """What is wrong or odd about one file, kept in the order of its lines."""

    def __init__(self, name: str, toml: Toml) -> None:
        """`name` is what the file is called in messages."""
        self._name = name
        self._toml = toml
        self._mistakes: list[tuple[int, str]] = []
        self._warnings: list[tuple[int, str]] = []
        self.asked: dict[Path, None] = {}  # every key that somebody looked for
        for line, path, message in toml.faults:
            self._mistakes.append((line, self._text(line, path, message)))

    def mistake(self, path: Path, message: str) -> None:
        """Note that what stands at `path` is wrong."""
        line = self._toml.line_of(path)
        self._mistakes.append((line, self._text(line, path, message)))

    def warning(self, path: Path, message: str) -> None:
        """Note that what stands at `path` works but is likely not meant."""
        line = self._toml.line_of(path)
        self._warnings.append((line, self._text(line, path, message)))

    def mistakes(self) -> tuple[str, ...]:
        """One line for each mistake, in file order, without repeats."""
        return _in_order(self._mistakes)

    def warnings(self) -> tuple[str, ...]:
        """One line for each warning, in file order, without repeats."""
        return _in_order(self._warnings)

    def _text(self, line: int, path: Path, message: str) -> str:
        return f"{self._name}:{line}: {_place(path)}{message}"


def _in_order(notes: list[tuple[int, str]]) -> tuple[str, ...]:
    ordered = sorted(notes, key=lambda note: note[0])
    return tuple(dict.fromkeys(text for _, text in ordered))


def _place(path: Path) -> str:
    """Where `path` is, for people: `job backup: key stop.grace: `."""
    match path:
        case ():
            return ""
        case ("jobs", str(name)):
            return f"job {name}: "
        case ("jobs", str(name), *keys):
            return f"job {name}: key {dotted(keys)}: "
        case ("supervisor" | "web" | "auth" | "jobs" as table, *keys):
            return f"[{table}]: key {dotted(keys)}: " if keys else f"[{table}]: "
        case _:
            return f"key {dotted(path)}: "


def dotted(keys: Sequence[str | int]) -> str:
    """A key path as it is written: `stop.grace`, `command[2]`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


class Table:
    """One table of the file. `path` is where it stands."""

    def __init__(self, values: Mapping[str, object], path: Path, notes: Notes) -> None:
        """Nothing has been asked for yet."""
        self._values = values
        self._path = path
        self._notes = notes
        self.known: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, message: str, *keys: str | int) -> None:
        """Note a mistake of this table, or of what stands at `keys` in it."""
        self._notes.mistake((*self._path, *keys), message)

    def odd(self, message: str, *keys: str | int) -> None:
        """Note something that works but is likely not meant."""
        self._notes.warning((*self._path, *keys), message)

    def names(self) -> list[str]:
        """The keys that stand in the table, in file order."""
        return list(self._values)

    def value(self, key: str) -> object | None:
        """The value of `key` whatever it is, None if it is absent."""
        self.known[key] = None
        self._notes.asked[*self._path, key] = None
        return self._values.get(key)

    def parsed(self, key: str, parse: Callable[[object], T], default: T) -> T:
        """What `parse` makes of the value; a BadValue it raises is noted."""
        value = self.value(key)
        if value is None:
            return default
        try:
            return parse(value)
        except BadValue as error:
            self.wrong(error.message, key)
            return default

    def string(self, key: str, default: T) -> str | T:
        """A string."""
        value = self.value(key)
        if value is None or isinstance(value, str):
            return default if value is None else value
        self.wrong(_must_be("a string", value), key)
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value = self.value(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.wrong(_must_be("true or false", value), key)
        return default

    def whole(self, key: str, default: T, *, least: int, most: int = _MOST) -> int | T:
        """A whole number of at least `least`, and at most `most`."""
        value = self.value(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(_must_be("a whole number", value), key)
        elif not least <= value <= most:
            bounds = (
                f"{least} or more" if value < least and most == _MOST else f"from {least} to {most}"
            )
            self.wrong(f"must be {bounds}, not {shown(value)}", key)
        else:
            return value
        return default

    def strings(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, what is none being made one. None if it is absent or is no list."""
        value = self.value(key)
        if value is None:
            return None
        if not isinstance(value, list):
            self.wrong(_must_be("a list of strings", value), key)
            return None
        for place, item in enumerate(value):
            if not isinstance(item, str):
                self.wrong(_must_be("a string", item), key, place)
        return tuple(str(item) for item in value)

    def table(self, key: str) -> Table:
        """A table; an empty one if it is absent or is something else."""
        value = self.value(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(_must_be("a table", value), key)
        values = value if isinstance(value, dict) else {}
        return Table(values, (*self._path, key), self._notes)

    def close(self, others: Mapping[str, str] = MappingProxyType({})) -> None:
        """Note every key that nobody asked for. `others` are names of other programs for ours."""
        for key in self._values:
            if key in self.known:
                continue
            meant = others.get(key.lower().replace("-", "_"))
            guess = f'; did you mean "{meant}"?' if meant else did_you_mean(key, self.known)
            if not guess and len(self.known) <= _FEW:
                guess = f"; there is {', '.join(self.known)}"
            self.wrong(f"there is no such key{guess}", key)


def _must_be(wanted: str, value: object) -> str:
    match value:
        case list():
            given = "a list"
        case dict():
            given = "a table"
        case dt.date() | dt.time():
            given = "a date or time"
        case _:
            given = shown(value)
    return f"must be {wanted}, not {given}"
