"""Tables for people: columns that line up, also with wide characters, and fit the terminal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click
from rich.cells import cell_len, set_cell_size

from supervisor.cli.colour import painted, wants_colour

_BETWEEN = "  "
_LEAST_ROOM = 10


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each column is as wide as its widest field; the last takes what room is left."""
    width = shutil.get_terminal_size().columns
    *widths, _ = (max(map(cell_len, column)) for column in zip(headings, *rows, strict=True))
    room = max(width - sum(widths) - len(_BETWEEN) * len(widths), _LEAST_ROOM)
    for number, row in enumerate((headings, *rows)):
        fields = [set_cell_size(field, size) for field, size in zip(row, widths, strict=False)]
        fields.append(_shortened(row[-1], room))
        line = _BETWEEN.join(fields).rstrip()
        if wants_colour():
            line = _BETWEEN.join(map(painted, fields)) if number else click.style(line, bold=True)
        click.echo(line)


def _shortened(field: str, room: int) -> str:
    return field if cell_len(field) <= room else set_cell_size(field, room - 1) + "…"
