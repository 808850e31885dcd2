"""By what means the processes of runs are known: chosen once, when the server starts.

See `Tracking` for what each means can do. A run whose control group cannot be made is tracked by
the next best means, and says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from supervisor.conditions import RunLimits
from supervisor.errors import LaunchError, StateDirError
from supervisor.model import Tracking
from supervisor.processes.cgroup import Cgroups, RunCgroup, open_cgroups
from supervisor.processes.controllers import (
    SHARED_LIMITS,
    check_shared,
    shared_limits,
    switch_on,
)
from supervisor.processes.orphans import Orphans
from supervisor.processes.tree import Leader

NO_GROUPS = MappingProxyType(
    dict.fromkeys(SHARED_LIMITS, "runs have no control groups of their own")
)
_NO_LIMITS = RunLimits()
_log = logging.getLogger("runwire.processes")


class Tracker:
    """Gives each run the means by which its processes are known."""

    def __init__(
        self,
        cgroups: Cgroups | None = None,
        orphans: Orphans | None = None,
        *,
        troubles: Mapping[str, str] = NO_GROUPS,
    ) -> None:
        """With neither, processes are known by session and group.

        `troubles` tells for each limit that runs cannot have why not (see `switch_on`).
        """
        self._cgroups = cgroups
        self._orphans = orphans
        self._troubles = troubles

    @property
    def best(self) -> Tracking:
        """What a run will usually have."""
        if self._cgroups is not None:
            return Tracking.CGROUP
        return Tracking.GROUP if self._orphans is None else Tracking.SUBREAPER

    def check(self, limits: RunLimits) -> None:
        """Raise BadValue for a limit that no run can have."""
        check_shared(limits, self._troubles)

    @contextmanager
    def place(self, run_id: str, limits: RunLimits = _NO_LIMITS) -> Iterator[Place]:
        """Where the run's first process is to be made; tidied up in the end.

        Raises LaunchError if it cannot be had with these limits.
        """
        group = None
        try:
            group = None if self._cgroups is None else self._cgroups.make(run_id)
        except OSError as exc:
            _log.warning("run %s gets no control group: %s", run_id, exc)
        try:
            _bound(group, limits)
            yield Place(group, self._orphans)
        finally:
            if group is not None:
                group.remove()

    def left_of(self, run_id: str) -> RunCgroup | None:
        """The control group in which what an earlier server left of a run still is."""
        return None if self._cgroups is None else self._cgroups.find(run_id)

    async def keep_reaped(self) -> None:
        """Reap the orphans that come to this process. Returns only if there will be none."""
        if self._orphans is not None:
            await self._orphans.keep_reaped()

    def close(self) -> None:
        """Remove what only this server needed."""
        if self._cgroups is not None:
            self._cgroups.tidy()
        if self._orphans is not None:
            self._orphans.close()


class Place(Struct, frozen=True):
    """Where a run's first process is made, and how those that come from it are known."""

    group: RunCgroup | None
    orphans: Orphans | None

    @contextmanager
    def opened(self) -> Iterator[int | None]:
        """A descriptor of the control group's directory. Raises LaunchError if there is none."""
        try:
            directory = None if self.group is None else self.group.open()
        except OSError as exc:
            raise LaunchError(f"cannot open its control group: {exc.strerror}") from exc
        try:
            yield directory
        finally:
            if directory is not None:
                os.close(directory)

    @contextmanager
    def tracked(self, leader: Leader, marks: Mapping[bytes, bytes]) -> Iterator[None]:
        """The run's processes are known, from the first on; `marks` are in their environment."""
        leader.cgroup = self.group
        if self.orphans is None:
            yield
        else:
            leader.orphans = self.orphans
            with self.orphans.watching(leader.ref, marks):
                yield


def _bound(group: RunCgroup | None, limits: RunLimits) -> None:
    wanted = shared_limits(limits)
    if not wanted:
        return
    names = ", ".join(f"limits.{name}" for name in wanted)
    if group is None:
        raise LaunchError(f"cannot set {names} for it: it can have no control group")
    try:
        group.limit(limits)
    except OSError as exc:
        where = Path(exc.filename or group.path).name
        raise LaunchError(f"cannot set {names} for it: {where}: {exc.strerror}") from exc


def open_tracker(
    wanted: Tracking | None, instance: str, *, own: Callable[[], set[int]]
) -> tuple[Tracker, str]:
    """The means that is wanted, or the best that there is; and in words why it is no better.

    `own` tells the pids of the children that this process has made itself. Raises StateDirError if
    what is wanted is not to be had.
    """
    why = ""
    if wanted in {None, Tracking.CGROUP}:
        groups = open_cgroups(instance)
        if isinstance(groups, Cgroups):
            # Process 1 of a container gets orphans whether it wants them or not.
            orphans = Orphans(own) if os.getpid() == 1 else None
            return Tracker(groups, orphans, troubles=switch_on(groups.path)), ""
        why = groups
        if wanted is Tracking.CGROUP:
            raise StateDirError(f"runs cannot have control groups: {why}")
    if wanted is Tracking.GROUP:
        return Tracker(), "as configured"
    return Tracker(None, Orphans(own)), why or "as configured"
