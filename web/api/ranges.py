"""Which bytes of a log a request wants: `from` and `Range` against what the log has. Pure."""

from __future__ import annotations

import re

from msgspec import Struct

from supervisor.errors import BadValue, RangeNotSatisfiable

_RANGE = re.compile(r"bytes\s*=\s*(?P<specs>.*)", re.IGNORECASE | re.DOTALL)
_SPEC = re.compile(r"(?P<first>[0-9]{0,19})\s*-\s*(?P<last>[0-9]{0,19})")


class Kept(Struct, frozen=True):
    """What a log has: bytes from `oldest` up to, not including, `size`."""

    oldest: int
    size: int


class Span(Struct, frozen=True):
    """Bytes from `start` up to, not including, `stop`. `partial` if a `Range` asked for it."""

    start: int
    stop: int
    partial: bool = False

    def __len__(self) -> int:
        """How many bytes."""
        return self.stop - self.start


def span_from(start: int, kept: Kept) -> Span:
    """Everything from offset `start`, or from the oldest byte if that one is gone.

    Raises RangeNotSatisfiable if the log does not reach `start`.
    """
    if start > kept.size:
        raise RangeNotSatisfiable(
            f"the log ends at {kept.size}, before {start}", oldest=kept.oldest, size=kept.size
        )
    return Span(max(start, kept.oldest), kept.size)


def span_of_range(header: str, kept: Kept) -> Span | None:
    """What a `Range` header asks for (RFC 9110 section 14.2).

    None if it is to be ignored: another unit than bytes, or several ranges at once. Raises
    BadValue if it is malformed, RangeNotSatisfiable if the log has none of it.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        if "=" not in header:
            raise _malformed(header)
        return None
    specs = [spec.strip() for spec in match["specs"].split(",") if spec.strip()]
    parsed = [_bounds(spec, header, kept) for spec in specs]
    if not parsed:
        raise _malformed(header)
    if len(parsed) > 1:
        return None
    first, last = parsed[0]
    start, stop = max(first, kept.oldest), min(last + 1, kept.size)
    if start >= stop:
        raise RangeNotSatisfiable(
            f"the log has bytes {kept.oldest} to {kept.size}, and none of {header.strip()}",
            oldest=kept.oldest,
            size=kept.size,
        )
    return Span(start, stop, partial=True)


def _bounds(spec: str, header: str, kept: Kept) -> tuple[int, int]:
    """First and last offset of one range."""
    match = _SPEC.fullmatch(spec)
    if match is None or not (match["first"] or match["last"]):
        raise _malformed(header)
    if not match["first"]:
        return max(0, kept.size - int(match["last"])), kept.size - 1
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else max(first, kept.size - 1)
    if last < first:
        raise _malformed(header)
    return first, last


def _malformed(header: str) -> BadValue:
    return BadValue(f'"{header}" is no range such as bytes=0-499 or bytes=500-', field="Range")
