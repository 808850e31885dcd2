"""A run's conditions in the kernel's numbers, as its first process sets them before it executes."""

from __future__ import annotations

import resource
from types import MappingProxyType

from msgspec import Struct

from supervisor.conditions import Conditions, RunLimits
from supervisor.jobs.conditions import io_priority
from supervisor.processes.identity import Identity

_TO_END_S = 5
"""After RLIMIT_CPU's SIGXCPU a program may take this long before SIGKILL."""

Rlimit = tuple[int, tuple[int, int]]
"""The resource, its soft and its hard limit: what resource.setrlimit takes."""


class LaunchConditions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the launcher sets, in this order; each is named as the launcher reports it.

    `user` is its number, that of its group, and those of the other groups.
    """

    nice: int | None = None
    ionice: int | None = None
    umask: int | None = None
    core: Rlimit | None = None
    cpu_time: Rlimit | None = None
    stack: Rlimit | None = None
    nofile: Rlimit | None = None
    data: Rlimit | None = None
    user: tuple[int, int, tuple[int, ...]] | None = None


_RLIMITS = MappingProxyType(
    {
        "core": resource.RLIMIT_CORE,
        "cpu_time": resource.RLIMIT_CPU,
        "data": resource.RLIMIT_DATA,
        "nofile": resource.RLIMIT_NOFILE,
        "stack": resource.RLIMIT_STACK,
    }
)


def name_of(condition: str) -> str:
    """What users call it: `limits.nofile`."""
    return f"limits.{condition}" if condition in _RLIMITS else condition


def rlimits(limits: RunLimits) -> dict[str, Rlimit]:
    """Those of the limits that each process has for itself, by name."""
    found: dict[str, Rlimit] = {}
    for name, number in _RLIMITS.items():
        soft = limits.cpu_time_s if name == "cpu_time" else getattr(limits, name)
        if soft is not None:
            found[name] = number, (soft, soft + _TO_END_S if name == "cpu_time" else soft)
    return found


def in_numbers(conditions: Conditions, identity: Identity | None = None) -> LaunchConditions:
    """The conditions as the launcher takes them; what is in them has been checked."""
    ids = None
    if identity is not None and not identity.is_own:
        ids = identity.uid, identity.gid, identity.groups
    return LaunchConditions(
        nice=conditions.nice,
        ionice=None if conditions.ionice is None else io_priority(conditions.ionice),
        umask=None if conditions.umask is None else int(conditions.umask, 8),
        user=ids,
        **rlimits(conditions.limits),
    )
