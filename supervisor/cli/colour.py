"""Who reads what the command line prints, and in which colours."""

from __future__ import annotations

import os
import sys

import click

from supervisor.model import Status

_COLOURS = {
    Status.QUEUED: "yellow",
    Status.RUNNING: "blue",
    Status.SUCCEEDED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "magenta",
}


def painted(value: str) -> str:
    """The text in the colour of the status it begins with, if it does and colours are wanted."""
    colour = _colour(value)
    return click.style(value, fg=colour) if colour and wants_colour() else value


def _colour(field: str) -> str:
    word = field.partition(" ")[0]
    return _COLOURS[Status(word)] if word in _COLOURS else ""


def wants_colour() -> bool:
    """True on a terminal, unless NO_COLOR (no-color.org) or a dumb terminal forbids it."""
    forbidden = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return to_terminal() and not forbidden


def to_terminal() -> bool:
    """True if a person reads stdout."""
    return sys.stdout.isatty()
