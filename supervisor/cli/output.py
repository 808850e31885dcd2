"""How the command line prints: tables, facts and JSON on stdout, single lines on stderr.

On a terminal there are colours and tables that fit its width. Anywhere else a table is lines of
fields with tabs between them, without a heading, for `cut` and `awk`.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable, Sequence

import click
import msgspec

from supervisor.cli.colour import painted, to_terminal
from supervisor.errors import BadValue, RunwireError

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def plain(text: str) -> str:
    """The text with control characters made visible: a name must not move the cursor."""
    return text.translate(_CONTROL)


def say(message: str) -> None:
    """One line to the user, apart from the output."""
    click.echo(f"runwire: {plain(message)}", err=True)


def say_error(error: RunwireError) -> None:
    """What is wrong, and with which field of the request."""
    named = isinstance(error, BadValue) and error.field is not None
    say(f"{error.field}: {error.message}" if named else error.message)


def say_on_terminal(message: str) -> None:
    """A line for someone who watches; a program that reads stderr gets nothing extra."""
    if sys.stderr.isatty():
        say(message)


def print_json(data: bytes) -> None:
    """A server's answer as it came; indented on a terminal."""
    rest = (msgspec.json.format(data, indent=2) if to_terminal() else data) + b"\n"
    stdout = sys.stdout.buffer
    while rest:  # where Python does not buffer, a part may be written
        rest = rest[stdout.write(rest) :]
    stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """One line for each row; on a terminal under headings, in columns that fit."""
    cleaned = [[plain(field) for field in row] for row in rows]
    if to_terminal():
        from supervisor.cli.columns import print_columns  # noqa: PLC0415 - it takes long to import

        print_columns(headings, cleaned)
        return
    for row in cleaned:
        click.echo("\t".join(row))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """A line for each fact that has a value, `label: value`; its further lines below each other."""
    shown = [(label, value) for label, value in facts if value]
    width = max(len(label) for label, _ in shown) + 2
    for label, value in shown:
        first, *more = value.split("\n")
        click.echo(f"{label + ':':{width}}{painted(plain(first))}")
        for line in more:
            click.echo(f"{'':{width}}{plain(line)}")


class ReaderGone(BrokenPipeError):
    """Nobody reads what is written to `fd` any more."""

    def __init__(self, fd: int) -> None:
        """`fd` is the descriptor that was written to."""
        super().__init__()
        self.fd = fd


def write_all(fd: int, data: bytes) -> None:
    """Writes all of it, also where another program left the descriptor in non-blocking mode.

    Raises ReaderGone, and OSError for everything else that can be wrong with a descriptor.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
        except BrokenPipeError as exc:
            raise ReaderGone(fd) from exc
