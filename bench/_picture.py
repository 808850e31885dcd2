"""A picture of figures against how many there are, as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

_COLOURS = ("#c0392b", "#e08e2b", "#1f6fb2", "#2e8b57")
_WIDTH, _HEIGHT, _LEFT, _TOP = 300, 220, 60, 50
_STEP = 400
_FONT = 'font-family="sans-serif" font-size="12" fill="#333"'


class Line(Struct, frozen=True):
    """A name, and points of how many and how much, both above zero."""

    name: str
    points: tuple[tuple[float, float], ...]


class Panel(Struct, frozen=True):
    """Lines on the same axes, both logarithmic."""

    title: str
    lines: tuple[Line, ...]


def picture(left: Panel, right: Panel, caption: str) -> str:
    """Both panels beside each other."""
    width, height = 2 * _STEP, _HEIGHT + 120
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_FONT}>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *_panel(left, _LEFT),
        *_panel(right, _LEFT + _STEP),
    ]
    for number, line in enumerate(left.lines):
        x, y = _LEFT + number * 170, _TOP + _HEIGHT + 40
        parts.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" fill="{_COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 20}" y="{y}">{escape(line.name)}</text>')
    parts.append(f'<text x="{_LEFT}" y="{height - 10}" font-size="10">{escape(caption)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, left: int) -> list[str]:
    points = [point for line in panel.lines for point in line.points]
    parts = [f'<text x="{left}" y="{_TOP - 20}" font-size="14">{escape(panel.title)}</text>']
    if not points:
        return [*parts, f'<text x="{left}" y="{_TOP + 20}">not measured</text>']
    many = sorted({x for x, _y in points})
    low = 10 ** math.floor(math.log10(min(y for _x, y in points)))
    high = 10 ** math.ceil(math.log10(max(y for _x, y in points)))
    high = high if high > low else low * 10

    def place(x: float, y: float) -> tuple[float, float]:
        span = math.log10(many[-1] / many[0]) or 1
        return (
            round(left + _WIDTH * math.log10(x / many[0]) / span, 1),
            round(_TOP + _HEIGHT * (1 - math.log10(y / low) / math.log10(high / low)), 1),
        )

    for value in _decades(low, high):
        y = place(many[0], value)[1]
        parts.append(f'<path d="M{left} {y}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    y = _TOP + _HEIGHT + 18
    parts += [
        f'<text x="{place(x, low)[0]}" y="{y}" text-anchor="middle">{x:g}</text>' for x in many
    ]
    for line, colour in zip(panel.lines, _COLOURS, strict=False):
        drawn = [place(x, y) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in drawn]
    return parts


def _decades(low: float, high: float) -> Sequence[float]:
    count = round(math.log10(high / low))
    return [low * 10**number for number in range(count + 1)]
