"""Under what conditions a program runs: what it may use, and how it is treated. Pure."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct, structs


class RunLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one run may use; None is no limit of its own.

    `memory` (bytes), `cpu` (processors, 1.5 is one and a half), `pids` (processes and threads) and
    `io_weight` (1 to 10000, 100 is usual) are for all processes of the run together, by its control
    group (cgroups(7)). The others are for each process, as setrlimit(2) has them: `nofile` (open
    files), `core`, `stack` and `data` (bytes), and `cpu_time_s`.
    """

    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None
    io_weight: int | None = None
    nofile: int | None = None
    core: int | None = None
    stack: int | None = None
    data: int | None = None
    cpu_time_s: int | None = None


class Conditions(Struct, frozen=True, kw_only=True):
    """What jobs and runs have in common of this. None is as the server itself has it.

    `nice` is -20 to 19 (setpriority(2)), `ionice` a class with an optional level, such as `idle` or
    `best-effort:7` (ioprio_set(2)), `umask` octal digits. `user` is a user, or `USER:GROUP`, or
    `:GROUP`, by names or numbers; `supplementary_groups` are those besides the ones it is in anyway.

    `inherit_env` names what it gets of the server's environment, `*` standing for any text; None is
    all of it. `env_file` (absolute) is read when the run starts, and is in no record.
    """

    limits: RunLimits = RunLimits()
    nice: int | None = None
    ionice: str | None = None
    umask: str | None = None
    user: str | None = None
    supplementary_groups: tuple[str, ...] = ()
    inherit_env: tuple[str, ...] | None = None
    env_file: str | None = None


_S = TypeVar("_S", bound=Conditions)


def with_conditions(target: _S, conditions: Conditions) -> _S:
    """`target` under these conditions."""
    fields = {name: getattr(conditions, name) for name in Conditions.__struct_fields__}
    return structs.replace(target, **fields)
