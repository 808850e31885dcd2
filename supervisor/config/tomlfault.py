"""Why a text is not TOML, in words for somebody who wrote it by hand. Pure.

The standard library's parser says what it expected; its reader wants to know what to write.
"""

from __future__ import annotations

import re
from types import MappingProxyType

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HINTS = MappingProxyType(
    {
        "Unclosed array": "the list is not closed with ], or a comma is missing",
        "Unclosed inline table": "the braces are not closed on their line, or a comma is missing",
        "Illegal character '\\n'": "the string is not closed",
        "Unterminated string": "the string is not closed",
        "Unescaped '\\' in a string": "write \\\\ for a backslash, or the string in single quotes",
        "Expected ']' at the end of a table declaration": "the table's name is not closed with ]",
    }
)
_ABOUT_KEYS = frozenset(
    {
        "Expected '=' after a key in a key/value pair",
        "Invalid initial character for a key part",
        "Invalid statement",
    }
)


def explain(complaint: str, text: str, open_line: int | None) -> tuple[int, str]:
    """The line of the fault and what to say of it.

    `complaint` is the parser's message on `text`. `open_line` is where something begins that does
    not seem to end, if there is such a thing: it is told there, not where it was noticed.
    """
    place = _PLACE.search(complaint)
    reason = _PLACE.sub("", complaint)
    if place is not None and place[1] is not None:
        line, column = int(place[1]), int(place[2])
        rest = text.split("\n")[line - 1][column - 1 :].strip()
        end = f"before line {line}"
    else:
        line, column, rest, end = text.count("\n") + 1, 0, "", "before the end of the file"
    in_line = reason.startswith(("Cannot", "Illegal", "Unescaped"))
    if open_line is not None and open_line < line and not in_line:
        return open_line, f"not valid TOML: not closed, or a comma is missing, {end}"
    whole = text.split("\n")[line - 1]
    where = f" (column {column})" if column else ""
    return line, f"not valid TOML: {_hint(reason, whole, rest)}{where}"


def _hint(reason: str, line: str, rest: str) -> str:
    if reason in _HINTS:
        return _HINTS[reason]
    if reason == "Invalid value":
        return _about_value(rest)
    if reason == "Expected newline or end of document after a statement":
        return _about_rest(line, rest)
    if reason in _ABOUT_KEYS:
        return _about_key(line, rest)
    if reason.startswith("Cannot"):
        return "the same key stands here twice, or once as a value and once as a table"
    return reason[:1].lower() + reason[1:]


def _about_key(line: str, rest: str) -> str:
    if rest.startswith("}"):
        return "no comma may stand before }"
    if line.lstrip().startswith("["):
        return "write a table's name in brackets, such as [jobs.backup]"
    if "=" in line:
        return "a key of other than A-Z, a-z, 0-9, _ and - needs quotes"
    return "write KEY = VALUE, with = and not :" if ":" in line else "write KEY = VALUE"


def _about_value(rest: str) -> str:
    word = re.split(r"[\s,\]}#]", rest, maxsplit=1)[0]
    if not word:
        return "there is no value"
    if word.lower() in {"true", "false", "yes", "no", "on", "off"}:
        return "write true or false, in small letters"
    if word.lower() in {"null", "none", "nil"}:
        return "there is no null in TOML; leave the key out"
    if word[0] in "\u201c\u201d\u201e\u2018\u2019":
        return 'use straight quotes, "like this"'
    if re.match(r"\.[0-9]", word):
        return f"write 0{word}"
    return f'text needs quotes, such as "{word}"'


def _about_rest(line: str, rest: str) -> str:
    value = line.partition("=")[2].strip()
    word = re.split(r"[\s,#]", value, maxsplit=1)[0]
    if re.match(r"[0-9][0-9.]*[A-Za-z]", word):
        return f'text needs quotes: "{word}"'
    if re.match(r"[+-]?0[0-9]", word):
        return "a number cannot begin with 0"
    if value.startswith("'") and "'" in rest:
        return "the string ends at its second '; write it in double quotes"
    if value.startswith('"') and '"' in rest:
        return 'the string ends at its second "; write \\" for one inside'
    return f'nothing may follow on the line, but there is "{rest[:30]}"'
