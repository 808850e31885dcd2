"""What this process can grant to a run, as far as it can be known before the run is started."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from supervisor.conditions import Conditions, RunLimits
from supervisor.errors import BadValue
from supervisor.processes.capabilities import (
    CAP_SYS_ADMIN,
    CAP_SYS_NICE,
    CAP_SYS_RESOURCE,
    has_capability,
)
from supervisor.processes.conditions import name_of, rlimits

_OPEN_FILES = Path("/proc/sys/fs/nr_open")


def check_grantable(conditions: Conditions) -> None:
    """Raise BadValue, for the first field that cannot be had; but see `find_identity` for users."""
    _check_rlimits(conditions.limits)
    if conditions.nice is not None and not _may_be_as_nice_as(conditions.nice):
        own = os.getpriority(os.PRIO_PROCESS, 0)
        raise BadValue(
            f"{conditions.nice} is a higher priority than this server may give: its own is {own}, "
            "and it is not root",
            field="nice",
        )
    realtime = conditions.ionice is not None and conditions.ionice.startswith("realtime")
    if realtime and not (has_capability(CAP_SYS_ADMIN) or has_capability(CAP_SYS_NICE)):
        raise BadValue("realtime is only for root to give", field="ionice")


def _check_rlimits(limits: RunLimits) -> None:
    for name, (number, (_soft, hard)) in rlimits(limits).items():
        most, why = resource.getrlimit(number)[1], "the hard limit of this server itself"
        if has_capability(CAP_SYS_RESOURCE):
            most, why = resource.RLIM_INFINITY, ""
            if name == "nofile":
                most, why = int(_OPEN_FILES.read_text("ascii")), "fs.nr_open of this machine"
        if resource.RLIM_INFINITY != most < hard:
            raise BadValue(f"must be at most {most}, {why}", field=name_of(name))


def _may_be_as_nice_as(nice: int) -> bool:
    if nice >= os.getpriority(os.PRIO_PROCESS, 0) or has_capability(CAP_SYS_NICE):
        return True
    ceiling: int = resource.getrlimit(resource.RLIMIT_NICE)[0]  # setrlimit(2): 20 - nice
    return ceiling == resource.RLIM_INFINITY or 20 - nice <= ceiling
