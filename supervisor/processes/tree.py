"""The processes of one run, known by the session and process group that its launch made.

A run's first process, the leader, has a session and a group of its own (setsid(2)), and everything
it starts belongs to them until it leaves on purpose. The group is signalled in one call, through
the leader's pidfd where the kernel can do that (pidfd_send_signal(2), Linux 6.9), so that no reused
number can ever be meant; members of the session that made groups of their own follow one by one.
"""

from __future__ import annotations

import errno
import os
import signal as signals
from contextlib import suppress

import trio

from supervisor import clock
from supervisor.model import ProcessRef, StopStep
from supervisor.processes import procfs
from supervisor.signals import signal_number

_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2
_RETRY_S = 0.05
"""How long to wait for a descriptor when all are taken."""


class Leader:
    """The first process of a run: who it is, and the pidfd by which its group is reached."""

    def __init__(self, ref: ProcessRef, pidfd: int) -> None:
        """`pidfd` stays the caller's to close."""
        self.ref = ref
        self._pidfd = pidfd

    def members(self) -> list[procfs.ProcessStat]:
        """Every living process of its session or group, itself included.

        Raises OSError without a descriptor to look.
        """
        return [
            process
            for process in procfs.living_in(self.ref.pid)
            if process.start_ticks >= self.ref.start_ticks
        ]

    def anyone_left(self) -> bool:
        """Whether there are members. Also True without a descriptor to look."""
        try:
            return bool(self.members())
        except OSError:
            return True

    def send_signal(self, signal: str) -> StopStep:
        """Signal the whole tree (`signal` such as `TERM`) and tell who was there.

        Without a descriptor to look, those in groups of their own are missed, and none is named.
        """
        at = clock.now().wall
        seen: list[procfs.ProcessStat] = []
        with suppress(OSError):
            seen = self.members()
        sent = self._signal_group(signal_number(signal))
        for process in seen:
            if process.group != self.ref.pid:
                sent = procfs.send_signal(process, signal) or sent
        return StopStep(
            at=at,
            signal=signal,
            target=f"group {self.ref.pid}",
            pids=tuple(process.pid for process in seen),
            result="sent" if sent else "no such process",
        )

    def wake(self) -> None:
        """Let a suspended tree go on, so that it can act on the signal it was sent."""
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

    def _signal_group(self, number: int) -> bool:
        """False if nobody is in the group, or nobody we may signal."""
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
