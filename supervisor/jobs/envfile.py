"""Files of environment variables: `NAME=VALUE` on each line, as docker and systemd read them. Pure.

Nothing is replaced in a value. A mistake is told by its line and never by the value, which may be
a secret.
"""

from __future__ import annotations

import re

from supervisor.errors import BadValue
from supervisor.jobs.checks import variable_problem

_LINE = re.compile(r"(?:export\s+)?([^\s=]+)\s*=\s*(.*?)\s*")
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t"}


def read_env_file(content: bytes) -> dict[str, str]:
    """The variables of a file. Bytes that are no UTF-8 stay what they are (os.fsencode).

    Empty lines and those that begin with `#` are passed over. A value between single quotes is
    what stands there, between double quotes a backslash escapes. Raises BadValue.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        problem = variable_problem(found[1]) if found else "must be NAME=VALUE"
        if found is None or problem:
            raise BadValue(f"line {number}: {problem}", field="env_file")
        variables[found[1]] = _unquoted(found[2], number)
    return variables


def _unquoted(text: str, number: int) -> str:
    if "\0" in text:
        raise BadValue(f"line {number}: must not contain a NUL character", field="env_file")
    quote = text[:1]
    if quote not in {"'", '"'}:
        return text
    if len(text) < 2 or text[-1] != quote:
        raise BadValue(f"line {number}: a quote is not closed", field="env_file")
    inner = text[1:-1]
    if quote == "'":
        return inner
    return _ESCAPED.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), inner)
