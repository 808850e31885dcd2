"""What jobs need and this machine does not have. Asked by `runwire check`, never by the server.

It looks at the file system, which may hang where a mount does, so nothing depends on the answer:
a run whose program or directory is missing fails by itself and says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from supervisor.config.envfile import load_env_file
from supervisor.errors import BadValue
from supervisor.jobs.placeholders import placeholders
from supervisor.processes.cgroup import machine_lacks
from supervisor.processes.controllers import check_shared
from supervisor.processes.grants import check_grantable
from supervisor.processes.identity import check_may_be, find_identity
from supervisor.spec import Job


def missing_here(jobs: Iterable[Job]) -> tuple[str, ...]:
    """A line for each directory and program of `jobs` that is not there, in their order.

    Also for what a server that is started here, by this user, could not grant them.
    """
    return tuple(
        line for job in jobs for line in (*_missing(job), *_no_env_file(job), *_not_granted(job))
    )


def refused_here(jobs: Iterable[Job]) -> tuple[str, ...]:
    """A line for each of `jobs` that no server of this user can start as the user that it names."""
    return tuple(line for job in jobs for line in _refused(job))


def _refused(job: Job) -> list[str]:
    try:
        identity = find_identity(job)
    except BadValue:
        return []  # that is missing
    try:
        check_may_be(identity)
    except BadValue as exc:
        return [f"job {job.name}: key {exc.field}: {exc.message}"]
    return []


def _no_env_file(job: Job) -> list[str]:
    if job.env_file is None:
        return []
    try:
        load_env_file(job.env_file)
    except PermissionError:
        return []  # It is the server's to read, and need not be ours.
    except OSError as exc:
        problem = exc.strerror
    except BadValue as exc:
        problem = exc.message
    else:
        return []
    return [f"job {job.name}: key env_file: {job.env_file}: {problem}"]


def _not_granted(job: Job) -> list[str]:
    try:
        check_shared(job.limits, machine_lacks())
        check_grantable(job)
        find_identity(job)
    except BadValue as exc:
        return [f"job {job.name}: key {exc.field}: {exc.message}"]
    return []


def _missing(job: Job) -> list[str]:
    if not Path(job.cwd).is_dir():
        return [f"job {job.name}: key cwd: there is no directory {job.cwd} here"]
    program = job.command[0] if job.command else "/bin/sh"
    if job.params and placeholders(program):
        return []
    path = job.env.get("PATH", os.environ.get("PATH", os.defpath))
    wanted = os.path.join(job.cwd, program) if "/" in program else program  # noqa: PTH118 - "./x"
    if shutil.which(wanted, path=path) is None:
        return [f"job {job.name}: key command: there is no program {program} here"]
    return []
