"""What a run has used: by its control group where it has one, else by what wait4(2) tells.

A figure that cannot be right is left out. The kernel counts as a process's largest size
(`ru_maxrss`) also what it was before it executed the program: the launcher's copy. So what is not
larger than that says nothing about the program.
"""

from __future__ import annotations

import resource
from contextlib import suppress

from msgspec import structs

from supervisor.outcome import Meter, Usage
from supervisor.processes.cgroup import RunCgroup
from supervisor.units import KIB, MIB

_BEFORE_EXEC = 1 * MIB
"""A process may become so much larger on its way from its gate to its program."""


def measure(
    rusage: resource.struct_rusage | None, group: RunCgroup | None, at_gate: int | None
) -> Usage | None:
    """The usage of a run whose processes have ended; None if nothing tells it.

    `at_gate` is how large its first process was (bytes) when it waited at its gate. `rusage` is
    what it used, None if somebody else has reaped it.
    """
    own = None if rusage is None else Usage(user_s=rusage.ru_utime, system_s=rusage.ru_stime)
    if group is None:
        return _with_largest(own, rusage, at_gate)
    times = _numbers(group, "cpu.stat")
    if times.keys() >= {"user_usec", "system_usec"}:
        own = Usage(
            user_s=times["user_usec"] / 1e6,
            system_s=times["system_usec"] / 1e6,
            cpu_by=Meter.CGROUP,
            peak_processes=_number(group, "pids.peak"),
        )
    peak = _number(group, "memory.peak")
    if peak is None or own is None:
        return _with_largest(own, rusage, at_gate)
    return _with_memory(own, peak, Meter.CGROUP)


def _with_largest(
    usage: Usage | None, rusage: resource.struct_rusage | None, at_gate: int | None
) -> Usage | None:
    if usage is None or rusage is None or at_gate is None:
        return usage
    largest = rusage.ru_maxrss * KIB
    if largest <= at_gate + _BEFORE_EXEC:
        return usage
    return _with_memory(usage, largest, Meter.RUSAGE)


def _with_memory(usage: Usage, peak: int, by: Meter) -> Usage:
    return structs.replace(usage, peak_memory=peak, memory_by=by)


def _number(group: RunCgroup, file: str) -> int | None:
    """The number that the file has; None if there is no such file here."""
    with suppress(OSError, ValueError):
        return int(group.read(file))
    return None


def _numbers(group: RunCgroup, file: str) -> dict[str, int]:
    """The numbers that the file has by name; none if there is no such file here."""
    with suppress(OSError, ValueError):
        pairs = map(str.split, group.read(file).decode("ascii").splitlines())
        return {name: int(number) for name, number in pairs}
    return {}
