"""Signal names and numbers as Linux has them (signal(7)). Pure.

Everywhere else a signal is its name without `SIG`, such as `TERM`. The numbers are those of x86,
ARM, RISC-V, POWER and s390; Alpha, SPARC, MIPS and PA-RISC number them otherwise.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from supervisor.errors import BadValue
from supervisor.suggest import did_you_mean

# fmt: off
_STANDARD = (
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE",
    "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
    "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
    "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
)
# fmt: on
# The two below are the C library's own: glibc's SIGRTMIN is 34.
_RTMIN, _RTMAX = 34, 64
_NUMBERS = MappingProxyType(
    {name: number for number, name in enumerate(_STANDARD, 1)}
    | {f"RTMIN+{number - _RTMIN}": number for number in range(_RTMIN + 1, _RTMAX)}
    | {"RTMIN": _RTMIN, "RTMAX": _RTMAX}
)
_NAMES = MappingProxyType({number: name for name, number in _NUMBERS.items()})
_ALIASES = MappingProxyType(
    {"IOT": "ABRT", "CLD": "CHLD", "POLL": "IO"}
    | {f"RTMIN+{number - _RTMIN}": _NAMES[number] for number in (_RTMIN, _RTMAX)}
    | {f"RTMAX-{_RTMAX - number}": _NAMES[number] for number in range(_RTMIN, _RTMAX + 1)}
)


def parse_signal(value: object, *, field: str | None = None) -> str:
    """The canonical name (`TERM`) of a signal given as `"TERM"`, `"SIGTERM"`, `"15"` or 15.

    Raises BadValue, for `field`, naming the nearest signal there is.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise BadValue('must be a signal name such as "TERM"', field=field)
    text = str(value).strip()
    if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII):
        name = _NAMES.get(int(text))
        if name is None:
            raise BadValue(f"there is no signal {text}; they go from 1 to 64", field=field)
        return name
    name = text.upper().removeprefix("SIG")
    name = _ALIASES.get(name, name)
    if name not in _NUMBERS:
        known = [*_STANDARD, "RTMIN", "RTMAX"]
        raise BadValue(f'there is no signal "{text}"{did_you_mean(name, known)}', field=field)
    return name


def signal_number(name: str) -> int:
    """The number of a canonical name. Raises KeyError for any other text."""
    return _NUMBERS[name]


def signal_name(number: int) -> str:
    """The canonical name of a number; the number itself as text where there is no name."""
    return _NAMES.get(number, str(number))
