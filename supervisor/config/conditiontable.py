"""The keys of a job that say under what conditions it runs. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from types import MappingProxyType

from supervisor.conditions import Conditions, RunLimits
from supervisor.config.tomltable import Table
from supervisor.jobs.checks import path_problem
from supervisor.jobs.conditions import (
    LIMITS,
    make_limits,
    read_groups,
    read_inherit_env,
    read_ionice,
    read_nice,
    read_umask,
    read_user,
)

_OTHER_NAMES = MappingProxyType(
    {
        "blkio_weight": "io_weight",
        "cpu_quota": "cpu",
        "cpus": "cpu",
        "fds": "nofile",
        "mem": "memory",
        "memory_max": "memory",
        "nproc": "pids",
        "open_files": "nofile",
        "processes": "pids",
        "tasks": "pids",
        "tasks_max": "pids",
    }
)


def read_conditions(table: Table, base: str) -> Conditions:
    """What the job's table says of it. `base` (absolute) is what a relative path starts from."""
    return Conditions(
        limits=_read_limits(table.table("limits")),
        nice=table.parsed("nice", read_nice, None),
        ionice=table.parsed("ionice", read_ionice, None),
        umask=table.parsed("umask", read_umask, None),
        user=table.parsed("user", read_user, None),
        supplementary_groups=table.parsed("supplementary_groups", read_groups, ()),
        inherit_env=table.parsed("inherit_env", read_inherit_env, None),
        env_file=_read_path(table, "env_file", base),
    )


def _read_path(table: Table, key: str, base: str) -> str | None:
    path = table.string(key, None)
    if path is None:
        return None
    problem = path_problem(path)
    if problem:
        table.wrong(problem, key)
    return str(PurePosixPath(base, path))


def _read_limits(table: Table) -> RunLimits:
    limits = make_limits({name: table.parsed(name, read, None) for name, read in LIMITS.items()})
    table.close(_OTHER_NAMES)
    return limits
