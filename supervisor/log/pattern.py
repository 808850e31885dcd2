"""What is looked for in a log: plain text or a regular expression, found in bytes.

Both are RE2's: it takes time in proportion to what it reads, whatever the expression, and lets
other threads run meanwhile (docs/adr/0006). A match never goes beyond its line.
"""

from __future__ import annotations

import re

import re2
from msgspec import Struct

from supervisor.errors import BadValue
from supervisor.units import MIB

MAX_PROGRAM = 2000
"""Instructions of a compiled expression: its time for a byte is in proportion to them at worst."""
_MAX_MEMORY = 4 * MIB

_FLAGS = "(?m)"
_QUOTED = re.compile(r"\\Q.*?(?:\\E|$)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NOT_MULTILINE = re.compile(r"\(\?[A-Za-z]*-[A-Za-z]*m")
_ELSEWHERE = {
    "A": r"\A is not known here: ^ is the start of a line",
    "z": r"\z is not known here: $ is the end of a line",
    "C": r"\C is not known here: . is any one character",
}


class Pattern(Struct, frozen=True):
    """Something to look for. `any_case` makes upper and lower case the same."""

    text: str
    regex: bool = False
    any_case: bool = False

    def compile(self) -> Finder:
        """Ready to find. Raises BadValue for what is no pattern, naming `q`."""
        if not self.text:
            raise BadValue("q: there is nothing to look for", field="q")
        if self.regex:
            return Finder(_FLAGS + _checked(self.text), self._options())
        if "\n" in self.text:
            raise BadValue("q: a line has no newline in it", field="q")
        return Finder(self.text, self._options())

    def _options(self) -> re2.Options:
        options = re2.Options()
        options.literal = not self.regex
        options.case_sensitive = not self.any_case
        options.never_nl = True
        options.never_capture = True
        options.log_errors = False
        options.max_mem = _MAX_MEMORY
        return options


class Finder:
    """A compiled pattern."""

    def __init__(self, text: str, options: re2.Options) -> None:
        """Raises BadValue."""
        try:
            self._regexp = re2.compile(text, options)
        except re2.error as error:
            raise BadValue(f"q: {_words(error)}", field="q") from error
        finally:
            re2.purge()  # It would keep the last 128, and what they learned, for ever.
        if self._regexp.programsize > MAX_PROGRAM:
            raise BadValue("q: this pattern is too large", field="q")

    def find(self, data: bytes, start: int, end: int) -> tuple[int, int] | None:
        """Where the first match in `data[start:end]` begins and ends; None if there is none.

        `start` is the start of a line, `end` the end of one. Other threads run meanwhile.
        """
        found = self._regexp.search(data, start, end)
        return None if found is None else found.span()


def _checked(text: str) -> str:
    """`text`, if it is an expression about lines. Raises BadValue."""
    open_text = _QUOTED.sub("", text)
    for escaped in _ESCAPE.findall(open_text):
        if escaped in _ELSEWHERE:
            raise BadValue(f"q: {_ELSEWHERE[escaped]}", field="q")
    if _NOT_MULTILINE.search(_ESCAPE.sub("", open_text)):
        raise BadValue("q: the flag m cannot be switched off: ^ is the start of a line", field="q")
    return text


def _words(error: re2.error) -> str:
    """What RE2 says, without what we put before the pattern."""
    (raw,) = error.args
    words: str = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    return words.replace(_FLAGS, "", 1)
