"""The unit of systemd that this process is the service of, if it is one, and what is asked of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import trio
from msgspec import Struct

_PATIENCE_S = 5.0
_RESTARTS = frozenset({"restart", "try-restart"})


class OwnUnit(Struct, frozen=True):
    """A service of the machine, or of a `user`; this process is its main one.

    `keeps` is how many descriptors systemd keeps for the next main process, none if that would be
    of no use, since it ends all other processes with this one (KillMode=).
    """

    name: str
    user: bool
    keeps: int

    async def is_restarting(self) -> bool:
        """Whether systemd is about to start it again after this stop.

        Neither the signal nor the environment tells; the job that waits for our end does. False if
        nobody can be asked.
        """
        command = [*_systemctl(user=self.user), "list-jobs", "--no-legend", self.name]
        with trio.move_on_after(_PATIENCE_S):
            try:
                done = await trio.run_process(
                    command, capture_stdout=True, capture_stderr=True, check=False
                )
            except OSError:
                return False
            # A job's number, its unit, its kind, how it is.
            return any(
                line.split()[1:3] == [self.name, kind]
                for line in done.stdout.decode(errors="replace").splitlines()
                for kind in _RESTARTS
            )
        return False


def own_unit() -> OwnUnit | None:
    """That of this process, if systemd says so as well. Blocks; for the start."""
    found = _unit_of(_own_group())
    if found is None:
        return None
    name, user = found
    wanted = [x for key in ("MainPID", "KillMode", "FileDescriptorStoreMax") for x in ("-p", key)]
    try:
        done = subprocess.run(
            [*_systemctl(user=user), "show", *wanted, name],
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if said.get("MainPID") != str(os.getpid()):
        return None
    room = said.get("FileDescriptorStoreMax", "")
    spares = said.get("KillMode") == "process"
    return OwnUnit(name, user, int(room) if spares and room.isdecimal() else 0)


def _own_group() -> str:
    """The path of this process's control group; empty if it has none (cgroups(7))."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("0::")), "")


def _unit_of(group: str) -> tuple[str, bool] | None:
    """The service of a control group, by the names that systemd gives them, and whether a user's."""
    *above, name = [it for it in group.split("/") if it.endswith(".service")] or [""]
    return (name, any(it.startswith("user@") for it in above)) if name else None


def _systemctl(*, user: bool) -> list[str]:
    return ["systemctl", "--user"] if user else ["systemctl"]
