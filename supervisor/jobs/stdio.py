"""What a run reads from and writes to, as jobs.toml or a request says it. Pure."""

from __future__ import annotations

from supervisor.errors import BadValue
from supervisor.jobs.checks import MAX_TEXT, path_problem
from supervisor.spec import OutputMode, Stdin, StdinMode, StdinSource
from supervisor.suggest import did_you_mean

READS_TERMINAL = 'what is on a terminal (output = "pty") reads what is typed there'


def check_output(value: object) -> OutputMode:
    """An output mode by its name. Raises BadValue."""
    if value not in list(OutputMode):
        hint = did_you_mean(value, OutputMode) if isinstance(value, str) else ""
        raise BadValue(f"{value!r} is none of {', '.join(OutputMode)}{hint}")
    return OutputMode(str(value))


def check_stdin_mode(value: str) -> StdinMode:
    """A mode of stdin by its name. Raises BadValue."""
    if value not in list(StdinMode):
        hint = did_you_mean(value, StdinMode) or '; a text is written { text = "..." }'
        raise BadValue(f'"{value}" is none of {", ".join(StdinMode)}{hint}')
    return StdinMode(value)


def check_stdin(stdin: Stdin) -> Stdin:
    """`stdin` if a run can have it. Raises BadValue, naming the field."""
    if isinstance(stdin, StdinSource):
        if (stdin.file is None) is (stdin.text is None):
            raise BadValue("needs a file or a text, and not both", field="stdin")
        if stdin.file is not None and (problem := path_problem(stdin.file)):
            raise BadValue(problem, field="stdin.file")
        if stdin.text is not None and (problem := _text_problem(stdin.text)):
            raise BadValue(problem, field="stdin.text")
    return stdin


def _text_problem(text: str) -> str | None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "is not valid text: it contains half of a surrogate pair"
    return f"is too long: {size} bytes, {MAX_TEXT} are allowed" if size > MAX_TEXT else None
