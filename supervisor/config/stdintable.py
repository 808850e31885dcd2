"""The key `stdin` of a job: a word, or a table of one key. Pure."""

from __future__ import annotations

from supervisor.config.tomltable import Table
from supervisor.errors import BadValue
from supervisor.jobs.stdio import check_stdin, check_stdin_mode
from supervisor.spec import Stdin, StdinMode, StdinSource


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
