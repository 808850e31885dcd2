"""What a job reads, and the terminal it may be on: the keys `stdin` and `terminal`. Pure."""

from __future__ import annotations

from supervisor.config.tomltable import Table
from supervisor.errors import BadValue
from supervisor.jobs.stdio import READS_TERMINAL, check_stdin, check_stdin_mode
from supervisor.spec import OutputMode, Stdin, StdinMode, StdinSource, TerminalSize

MOST_CHARACTERS = 1000


def read_stdin(job: Table) -> Stdin:
    """What the job reads; mistakes are noted and count as nothing to read."""
    word = job.value("stdin")
    if isinstance(word, str):
        return job.parsed("stdin", lambda _: check_stdin_mode(word), StdinMode.CLOSED)
    table = job.table("stdin")
    source = StdinSource(file=table.string("file", None), text=table.string("text", None))
    table.close()
    if word is None:
        return StdinMode.CLOSED
    try:
        return check_stdin(source)
    except BadValue as error:
        _, _, key = (error.field or "").partition(".")
        job.wrong(error.message, "stdin", *([key] if key else []))
        return StdinMode.CLOSED


def read_terminal(job: Table, output: OutputMode) -> TerminalSize:
    """How large the job's terminal is."""
    usual = TerminalSize()
    table = job.table("terminal")
    size = TerminalSize(
        columns=table.whole("columns", usual.columns, least=1, most=MOST_CHARACTERS),
        rows=table.whole("rows", usual.rows, least=1, most=MOST_CHARACTERS),
    )
    table.close()
    if "terminal" in job and output is not OutputMode.PTY:
        job.odd('means nothing without output = "pty"', "terminal")
    if "stdin" in job and isinstance(job.value("stdin"), dict) and output is OutputMode.PTY:
        job.wrong(READS_TERMINAL, "stdin")
    return size
