"""Durations and sizes as people write them: `"1h30m"`, `"500ms"`, `"64K"`. Pure."""

from __future__ import annotations

import math
import re
from types import MappingProxyType

from supervisor.errors import BadValue

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_SECONDS = MappingProxyType({"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001})
_SPELLINGS = MappingProxyType(
    {
        "d": ("day", "days"),
        "h": ("hr", "hrs", "hour", "hours"),
        "m": ("min", "mins", "minute", "minutes"),
        "s": ("sec", "secs", "second", "seconds"),
        "ms": ("msec", "msecs", "millis", "millisecond", "milliseconds"),
    }
)
_UNIT_OF = {spelling: unit for unit, all_ in _SPELLINGS.items() for spelling in (unit, *all_)}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)
_LONGEST_S = 100 * 365 * 86400.0
_BYTES = MappingProxyType({"": 1, "K": KIB, "M": MIB, "G": KIB**3, "T": KIB**4})
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_EXAMPLES = 'write something like "90s", "10m", "1h30m" or "500ms"'


def parse_duration(value: object, *, field: str | None = None) -> float:
    """Seconds, at least 0, of a number of seconds or a text such as `"90s"` or `"1h30m"`.

    Units are `d`, `h`, `m`, `s` and `ms`, the larger first, each at most once; decimals are
    allowed. A text that is a bare number counts seconds.

    Raises BadValue, for `field`, saying how it should be written.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadValue(f"must be a duration: {_EXAMPLES}, or a number of seconds", field=field)
    seconds = _text_seconds(value.strip(), field) if isinstance(value, str) else value
    if seconds > _LONGEST_S:
        raise BadValue("a duration cannot be longer than 100 years", field=field)
    if math.isnan(seconds) or seconds < 0:
        raise BadValue(f"a duration cannot be {value!r}: it must be 0 or more", field=field)
    return float(seconds)


def _text_seconds(text: str, field: str | None) -> float:
    if text.startswith("-"):
        raise BadValue(f'a duration cannot be "{text}": it must be 0 or more', field=field)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        return float(text)
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    if not parts or _PART.sub("", text).strip() or not all(units):
        raise BadValue(f'"{text}" is not a duration: {_EXAMPLES}', field=field)
    if any(unit not in _SECONDS for unit in units):
        raise BadValue(f'"{text}" is not a duration{_respelt(parts)}', field=field)
    order = list(_SECONDS)
    places = [order.index(unit) for unit in units]
    if places != sorted(set(places)):
        raise BadValue(f'"{text}" is not a duration: larger units come first, once', field=field)
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)


def _respelt(parts: list[tuple[str, str]]) -> str:
    """How to write what was meant, if that can be told: `10 minutes` is `"10m"`."""
    units = [_UNIT_OF.get(unit.lower()) for _, unit in parts]
    if not all(units):
        return f": {_EXAMPLES}"
    text = "".join(f"{number}{unit}" for (number, _), unit in zip(parts, units, strict=True))
    return f'; did you mean "{text}"?'


def show_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as `seconds`, such as `"1h30m"`."""
    millis = round(seconds * 1000)
    text = ""
    for unit, size_s in _SECONDS.items():
        count, millis = divmod(millis, round(size_s * 1000))
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def show_size(size: float) -> str:
    """The shortest text that `parse_size` reads as `size` bytes, such as `"64M"`."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _BYTES[unit] == 0:
            return f"{int(size) // _BYTES[unit]}{unit}"
    return str(int(size))


def parse_size(value: object, *, field: str | None = None) -> int:
    """Bytes of a whole number or a text such as `"64K"`, `"10M"`, `"2G"` (powers of 1024).

    Raises BadValue, for `field`, saying how it should be written.
    """
    wanted = 'write a number of bytes, or something like "64K", "10M" or "2G"'
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise BadValue(f"must be a size: {wanted}", field=field)
    if isinstance(value, int):
        size: float = value
    else:
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise BadValue(f'"{value}" is not a size: {wanted}', field=field)
        size = float(match[1]) * _BYTES[match[2].upper()]
    if not 0 <= size < 2**63:
        raise BadValue("is out of range for a size in bytes", field=field)
    return int(size)
