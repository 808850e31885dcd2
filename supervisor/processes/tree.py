"""The processes of one run: who they are, signals to all of them, and their end.

A run's first process, the leader, has a session and a group of its own (setsid(2)), and everything
it starts belongs to them until it leaves on purpose. The group is signalled in one call, through
the leader's pidfd where the kernel can do that (pidfd_send_signal(2), Linux 6.9), so that no reused
number can ever be meant; members that are not in it follow one by one.

Those that left on purpose are found by the control group of the run, or else as orphans that came
to this process and as descendants; what the run can have of these is its `Tracking`.
"""

from __future__ import annotations

import errno
import os
import signal as signals
from contextlib import suppress

import trio

from supervisor import clock
from supervisor.model import PauseMeans, ProcessRef, StopStep, Tracking
from supervisor.outcome import OutOfMemory
from supervisor.processes import procfs
from supervisor.processes.cgroup import RunCgroup
from supervisor.processes.orphans import Orphans
from supervisor.processes.procfs import ProcessStat
from supervisor.signals import signal_number
from supervisor.spec import StopScope

KILL = "KILL"
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2
_RETRY_S = 0.05
"""How long to wait for a descriptor when all are taken."""


class Leader:
    """The first process of a run: who it is, and the pidfd by which its group is reached."""

    def __init__(self, ref: ProcessRef, pidfd: int) -> None:
        """`pidfd` stays the caller's to close."""
        self.ref = ref
        self.cgroup: RunCgroup | None = None
        """The control group that it was made in."""
        self.orphans: Orphans | None = None
        """Where what it leaves behind is found; has to be watching it."""
        self.paused: PauseMeans | None = None
        """By what means its processes are suspended, if they are."""
        self._pidfd = pidfd

    @property
    def tracking(self) -> Tracking:
        """By what means its processes are known."""
        if self.cgroup is not None:
            return Tracking.CGROUP
        return Tracking.GROUP if self.orphans is None else Tracking.SUBREAPER

    @property
    def number_is_free(self) -> bool:
        """Whether its number may be another's by now: then that tells nothing about its session."""
        return False

    def members(self) -> list[ProcessStat]:
        """Every living process of the run that there are means to know, itself included.

        Raises OSError without a descriptor to look.
        """
        found = self._session()
        if self.cgroup is not None:
            known = {process.pid for process in found}
            others = (pid for pid in self.cgroup.pids() if pid not in known)
            found += (it for it in map(procfs.read_stat, others) if it and not it.zombie)
        elif self.orphans is not None:
            found = procfs.descendants([*found, *self.orphans.left_by(self.ref)])
        return found

    def perhaps_members(self) -> list[ProcessStat]:
        """Living processes that may be of this run or of another, and that are left alone.

        Raises OSError without a descriptor to look.
        """
        if self.cgroup is not None or self.orphans is None:
            return []
        return self.orphans.perhaps_left_by(self.ref)

    def anyone_left(self) -> bool:
        """Whether there are members. Also True without a descriptor to look.

        Cheaper than `members`, for it is asked at the end of each run. It does not count a member
        of the session that was moved to another control group: somebody else looks after that.
        """
        try:
            if self.cgroup is not None:
                return self.cgroup.populated()
            if self.orphans is not None and self.orphans.left_by(self.ref):
                return True
            return bool(self._session())
        except OSError:
            return True

    def out_of_memory(self) -> OutOfMemory | None:
        """Whether the kernel killed any of it for want of memory; None where nobody can know."""
        return None if self.cgroup is None else self.cgroup.out_of_memory()

    def send_signal(self, signal: str, scope: StopScope = StopScope.TREE) -> StopStep:
        """Signal the whole tree, or itself alone (`signal` such as `TERM`), and tell who was there.

        Without a descriptor to look, those in groups of their own are missed, and none is named.
        """
        at = clock.now().wall
        if scope is StopScope.MAIN:
            sent = self._signal_itself(signal_number(signal))
            return StopStep(
                at=at,
                signal=signal,
                target=f"process {self.ref.pid}",
                pids=(self.ref.pid,) if sent else (),
                result="sent" if sent else "no such process",
            )
        seen: list[ProcessStat] = []
        with suppress(OSError):
            seen = self.members()
        sent = self._signal_group(signal_number(signal))
        in_group = sent
        for process in seen:
            if process.group != self.ref.pid or not in_group:
                sent = procfs.send_signal(process, signal) or sent
        if self.cgroup is not None and signal == KILL:
            with suppress(OSError):
                self.cgroup.kill()
        return StopStep(
            at=at,
            signal=signal,
            target=f"group {self.ref.pid}" if self.cgroup is None else "cgroup",
            pids=tuple(process.pid for process in seen),
            result="sent" if sent else "no such process",
        )

    async def kill_whoever_comes(self) -> tuple[int, ...]:
        """Return when no living process is left of the run; kill those that still appear.

        The pids of these: processes that were being made when the others were killed.
        """
        killed: set[int] = set()
        while True:
            try:
                rest = self.members()
            except OSError:
                await trio.sleep(_RETRY_S)
                continue
            if not rest:
                return tuple(sorted(killed))
            killed.update(process.pid for process in rest if procfs.send_signal(process, KILL))
            if self.orphans is not None:
                self.orphans.reap()  # or those that fork all the time would use up all numbers
            await procfs.wait_ended(rest[0])

    def pause(self) -> PauseMeans:
        """Suspend the whole tree: by the freezer of its control group, else by SIGSTOP."""
        self.paused = PauseMeans.SIGNAL
        if self.cgroup is not None:
            with suppress(OSError):
                self.cgroup.freeze(on=True)
                self.paused = PauseMeans.FREEZER
                return self.paused
        for _ in range(2):  # those that were just being made when the others were suspended
            self.send_signal("STOP")
        return self.paused

    def was_paused(self) -> None:
        """It was paused by an earlier server, and still is."""
        frozen = self.cgroup is not None and self.cgroup.frozen()
        self.paused = PauseMeans.FREEZER if frozen else PauseMeans.SIGNAL

    def was_not_paused(self) -> None:
        """As far as is on record. An earlier server may have fallen just when it had suspended it."""
        if self.cgroup is not None:
            with suppress(OSError):
                self.cgroup.freeze(on=False)

    def resume(self) -> None:
        """Let a tree go on that was paused."""
        if self.paused is PauseMeans.FREEZER and self.cgroup is not None:
            with suppress(OSError):
                self.cgroup.freeze(on=False)
        elif self.paused is not None:
            self.send_signal("CONT")
        self.paused = None

    def wake(self, scope: StopScope = StopScope.TREE) -> None:
        """Let a suspended tree, or itself, go on, so that it can act on the signal it was sent."""
        if scope is StopScope.MAIN:
            self._signal_itself(signals.SIGCONT)
        else:
            self._signal_group(signals.SIGCONT)

    async def wait_gone(self) -> None:
        """Return when no living process is left in its session or group."""
        while True:
            try:
                rest = self.members()
            except OSError:
                await trio.sleep(_RETRY_S)
                continue
            if not rest:
                return
            await procfs.wait_ended(rest[0])

    def _session(self) -> list[ProcessStat]:
        if self.number_is_free:
            return []
        return [
            process
            for process in procfs.living_in(self.ref.pid)
            if process.start_ticks >= self.ref.start_ticks
        ]

    def _signal_itself(self, number: int) -> bool:
        """False if it has ended, or has become somebody we may not signal."""
        try:
            signals.pidfd_send_signal(self._pidfd, number)
        except OSError:
            return False
        return True

    def _signal_group(self, number: int) -> bool:
        """False if nobody is in the group, or nobody we may signal."""
        if self.number_is_free:
            return False
        try:
            signals.pidfd_send_signal(self._pidfd, number, None, _PIDFD_SIGNAL_PROCESS_GROUP)
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                return False
            return _killpg(self.ref.pid, number)
        return True


def _killpg(group: int, number: int) -> bool:
    """Before Linux 6.9: by number. Safe while the leader is unreaped or a member is left."""
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True
