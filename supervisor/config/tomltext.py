"""TOML with its positions: what the text says, and on which line it says it. Pure.

The standard library's parser gives values without positions, and stops at the first key that is
given twice. So a second, small scanner goes through the same text and notes where each key
stands. It accepts more than TOML does: whether the text is valid is the parser's judgement alone.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

from msgspec import Struct

from supervisor.config.tomlfault import explain

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'", re.ASCII)
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?!")'
    r"|'''.*?'''(?!')"
    r'|"(?:[^"\\\n]|\\.)*"(?!")'
    r"|'[^'\n]*'(?!')",
    re.DOTALL,
)
_LOST = -1  # in the path of what stands in something given twice
_SCALAR = re.compile(r"[^,\[\]{}#\"'=\r\n]+")


class Toml(Struct, frozen=True):
    """A text's values, the line (from 1) of each key path, and what is wrong with it as TOML.

    If the text cannot be read at all, `values` is empty and `faults` says why.
    """

    values: dict[str, object]
    lines: dict[Path, int]
    faults: tuple[tuple[int, Path, str], ...] = ()

    def line_of(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_toml(text: str) -> Toml:
    """Read `text`, whatever it is. Keys given twice are all reported, and count the first time."""
    scanner = _Scanner(text)
    scanner.scan()
    faults = [
        (line, path, f"is given twice, first on line {scanner.lines[path]}")
        for line, path, _, _ in scanner.repeats
    ]
    for _, _, start, end in scanner.repeats:
        text = text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
    values: dict[str, object] = {}
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, message = explain(str(error), text, scanner.open_line)
        if all(line != repeated for repeated, _, _ in faults):
            faults.append((line, scanner.statement_at(line), message))
    except (RecursionError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        faults.append((1, (), f"not valid TOML: {what}"))
    return Toml(values, scanner.lines, tuple(faults))


class _Unreadable(Exception):
    """The scanner does not know how to go on."""


class _Scanner:
    """Notes where each key stands, until the text ends or makes no sense."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.open_line: int | None = None  # where that begins which made no sense
        self._begun: list[tuple[int, Path]] = []
        self.repeats: list[tuple[int, Path, int, int]] = []
        self._text = text
        self._at = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._given: set[Path] = set()
        self._array_sizes: dict[Path, int] = {}

    def scan(self) -> None:
        try:
            self._document()
        except (_Unreadable, RecursionError):
            self.open_line = self._begun[-1][0]

    def statement_at(self, line: int) -> Path:
        """The key or table that begins on `line`, or before it and goes on there."""
        last = max((start for start, _ in self._begun if start <= line), default=0)
        return next((path for start, path in self._begun if start == last), ())

    def _document(self) -> None:
        table: Path = ()
        repeat: tuple[int, Path, int] | None = None
        while True:
            self._skip(_BLANK)
            start = self._at
            header = self._next("[")
            if repeat is not None and (header or start >= len(self._text)):
                self.repeats.append((*repeat, start))
                repeat = None
            if start >= len(self._text):
                return
            self._begun.append((self._line(start), () if header else table))
            if header:
                table, again = self._header()
                repeat = (self._line(start), table, start) if again else None
                table = (*table, _LOST) if again else table
            else:
                self._pair(table)

    def _header(self) -> tuple[Path, bool]:
        start = self._at
        many = self._text.startswith("[[", start)
        self._at += 2 if many else 1
        path = self._real(self._dotted())
        self._begun[-1] = (self._line(start), path)
        self._take("]]" if many else "]")
        if many:
            size = self._array_sizes.get(path, 0)
            self._array_sizes[path] = size + 1
            self._note(path, start)
            path = (*path, size)
        return path, self._give(path, start)

    def _real(self, path: Path) -> Path:
        """`path` with the index of the last element wherever it leads through an array."""
        real: Path = ()
        for place, key in enumerate(path):
            real = (*real, key)
            if real in self._array_sizes and place < len(path) - 1:
                real = (*real, self._array_sizes[real] - 1)
        return real

    def _pair(self, table: Path, *, nested: bool = False) -> None:
        start = self._at
        path = (*table, *self._dotted())
        if not nested:
            self._begun[-1] = (self._line(start), path)
        self._take("=")
        again = self._give(path, start)
        self._value((*path, _LOST) if again else path)
        if again and _LOST not in path:
            self.repeats.append((self._line(start), path, start, self._at))

    def _dotted(self) -> Path:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            match = _KEY.match(self._text, self._at)
            if match is None:
                raise _Unreadable
            self._at = match.end()
            keys.append(_plain(match[0]))
            self._skip(_SPACE)
            if not self._next("."):
                return tuple(keys)
            self._at += 1

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        if self._next("["):
            self._items("]", path)
        elif self._next("{"):
            self._items("}", path)
        else:
            match = _STRING.match(self._text, self._at) or _SCALAR.match(self._text, self._at)
            if match is None:
                raise _Unreadable
            self._at = match.end()

    def _items(self, closing: str, path: Path) -> None:
        self._at += 1
        place = 0
        while True:
            self._skip(_BLANK)
            if self._next(closing):
                self._at += 1
                return
            if closing == "]":
                self._note((*path, place), self._at)
                self._value((*path, place))
                place += 1
            else:
                self._pair(path, nested=True)
            self._skip(_BLANK)
            if not self._next(closing):
                self._take(",")

    def _give(self, path: Path, start: int) -> bool:
        """Note that `path` is written out at `start`; True if it was before."""
        again = path in self._given
        self._given.add(path)
        for length in range(1, len(path) + 1):
            self._note(path[:length], start)
        return again

    def _note(self, path: Path, start: int) -> None:
        self.lines.setdefault(path, self._line(start))

    def _line(self, offset: int) -> int:
        return bisect_right(self._line_starts, offset)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _next(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> None:
        if not self._next(text):
            raise _Unreadable
        self._at += len(text)


def _plain(key: str) -> str:
    """A key as its value: quotes taken off, escapes resolved."""
    if key[0] not in "\"'":
        return key
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError as error:
        raise _Unreadable from error
