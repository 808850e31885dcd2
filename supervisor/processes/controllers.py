"""Limits for all processes of a run together, by the controllers of its control group (cgroups(7)).

A group has a controller if the one above hands it on, and no group that does so may have processes
of its own, the root aside. So a server that is alone in its group moves to one below it first,
beside which its runs have theirs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from supervisor.conditions import RunLimits
from supervisor.errors import BadValue

LEAF = "supervisor"
"""Where the server itself is then; systemd's `DelegateSubgroup=` may put it there as well."""
_HANDED_ON = "cgroup.subtree_control"
_MEMBERS = "cgroup.procs"
_CPU_PERIOD_US = 100_000
_NEEDS = MappingProxyType(
    {
        "memory": ("memory", "memory.max"),
        "cpu": ("cpu", "cpu.max"),
        "pids": ("pids", "pids.max"),
        "io_weight": ("io", "io.weight"),
    }
)
"""The controller that a limit needs, and the file that sets it."""
SHARED_LIMITS = tuple(_NEEDS)
"""The limits that are for all processes of a run together."""


def switch_on(groups: Path) -> dict[str, str]:
    """Have the groups below `groups` get what controllers there are.

    Returns why not, in words, for each limit that runs cannot have.
    """
    above = groups.parent
    troubles = lacking(above)
    for limit, (controller, _file) in _NEEDS.items():
        if limit in troubles:
            continue
        try:
            _hand_on(above, controller)
            (groups / _HANDED_ON).write_text(f"+{controller}", "ascii")
        except OSError as exc:
            busy = "other processes are in it" if exc.errno == errno.EBUSY else exc.strerror
            troubles[limit] = f"{above} cannot hand its {controller} controller on: {busy}"
    return troubles | _without_file(groups, troubles)


def lacking(group: Path) -> dict[str, str]:
    """Why those below `group` cannot have some limits, by the limit."""
    there = _words(group / "cgroup.controllers")
    return {
        limit: f"there is no {controller} controller in {group}"
        for limit, (controller, _file) in _NEEDS.items()
        if controller not in there
    }


def _hand_on(above: Path, controller: str) -> None:
    if controller in _words(above / _HANDED_ON):
        return
    try:
        (above / _HANDED_ON).write_text(f"+{controller}", "ascii")
    except OSError as exc:
        if exc.errno != errno.EBUSY or _words(above / _MEMBERS) != {str(os.getpid())}:
            raise
        (above / LEAF).mkdir(exist_ok=True)
        (above / LEAF / _MEMBERS).write_text(str(os.getpid()), "ascii")
        (above / _HANDED_ON).write_text(f"+{controller}", "ascii")


def _without_file(groups: Path, troubles: Mapping[str, str]) -> dict[str, str]:
    """Not every kernel has every file of a controller."""
    probe = groups / "try-out"
    probe.mkdir(exist_ok=True)
    try:
        return {
            limit: f"this kernel has no {file}"
            for limit, (_controller, file) in _NEEDS.items()
            if limit not in troubles and not (probe / file).exists()
        }
    finally:
        probe.rmdir()


def shared_limits(limits: RunLimits) -> list[str]:
    """Those of the limits that are for all processes of a run together, by name."""
    return [name for name in _NEEDS if getattr(limits, name) is not None]


def check_shared(limits: RunLimits, troubles: Mapping[str, str]) -> None:
    """Raise BadValue for the first limit that is among the `troubles`."""
    for name in shared_limits(limits):
        if name in troubles:
            raise BadValue(f"cannot be had here: {troubles[name]}", field=f"limits.{name}")


def set_limits(group: Path, limits: RunLimits) -> None:
    """Set them for a run's group, in which nobody needs to be yet. Raises OSError."""
    if limits.memory is not None:
        _write(group / "memory.max", str(limits.memory))
        # All of it ends, not what the kernel happens to choose; and nothing hides in the swap.
        _write(group / "memory.oom.group", "1")
        with suppress(FileNotFoundError):  # a kernel without swap accounting
            _write(group / "memory.swap.max", "0")
    if limits.cpu is not None:
        quota_us = round(limits.cpu * _CPU_PERIOD_US)
        _write(group / "cpu.max", f"{quota_us} {_CPU_PERIOD_US}")
    if limits.pids is not None:
        _write(group / "pids.max", str(limits.pids))
    if limits.io_weight is not None:
        _write(group / "io.weight", f"default {limits.io_weight}")


def _write(file: Path, text: str) -> None:
    """Raises OSError that names the file, which write(2) does not."""
    try:
        file.write_text(text, "ascii")
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(file)) from exc


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text("ascii").split())
    except OSError:
        return set()
