"""What a fallen server left of a run: found by identity, killed where it is surely the run's.

A process is surely the run's

* if its environment bears the run's marks,
* if it belongs to the session of the run's first process, and that session surely is the run's:
  its first process is still there, or a member of it bears the marks (the kernel gives no number
  to a new session while anybody belongs to an old one),
* if its parent is surely the run's.

A process in a session of that number for which nothing else speaks may be somebody else's by now:
it is reported, never killed. A server that was itself started by the run, and the processes that
it has made, are not what an earlier server left, and are never touched.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import trio
from msgspec import Struct

from supervisor.clock import boot_id
from supervisor.executors.environment import INSTANCE, RUN_ID
from supervisor.model import ProcessRef, Run
from supervisor.processes import procfs
from supervisor.processes.cgroup import RunCgroup
from supervisor.processes.procfs import ProcessStat

_KILL_WAIT_S = 5.0
_RETRY_S = 0.05
_QUIET_LOOKS = 2


class Leftovers(Struct, frozen=True):
    """The pids killed, and those left alone because they cannot be attributed."""

    killed: tuple[int, ...] = ()
    unattributed: tuple[int, ...] = ()


class Seen(Struct, frozen=True):
    """A process, and the run and instance that its environment names (empty if none)."""

    stat: ProcessStat
    run_id: bytes
    instance: bytes


class Sweep:
    """Ends what is left of runs. All who look at the same time share one look at /proc."""

    def __init__(self, instance: str) -> None:
        """`instance` is what this server's processes are marked with."""
        self._instance = os.fsencode(instance)
        self._next: _Look | None = None

    async def end_leftovers(self, run: Run, cgroup: RunCgroup | None = None) -> Leftovers:
        """Kill every process that is surely the run's; look again until none is left.

        `cgroup` is the run's control group, if it is still there: all in it is the run's.
        """
        leader = run.process
        if leader is None or leader.boot_id != boot_id():
            return Leftovers()
        killed = set() if cgroup is None else await _end_group(cgroup)
        perhaps: list[ProcessStat] = []
        session_is_ours = was_bare = False
        quiet_looks = 0
        with trio.move_on_after(_KILL_WAIT_S):
            # One look may miss a process that forks just then, or is in the middle of an execve(2).
            while quiet_looks < _QUIET_LOOKS:
                seen = await self._look()
                if seen is None:
                    await trio.sleep(_RETRY_S)
                    continue
                marked = {
                    pid
                    for pid, it in seen.items()
                    if (it.run_id, it.instance) == (os.fsencode(run.id), self._instance)
                }
                # Once proven it stays so: whoever is found next was there, or is its child.
                bare, sure = _is_bare(leader, seen), _is_ours(leader, seen, marked, self._instance)
                session_is_ours = session_is_ours or sure or (bare and was_bare)
                was_bare = bare
                own, perhaps = _attribute(leader, seen, marked, session_is_ours=session_is_ours)
                quiet_looks = 0 if own else quiet_looks + 1
                killed.update(process.pid for process in own if procfs.send_signal(process, "KILL"))
                for process in own:
                    await procfs.wait_ended(process)
        return Leftovers(
            killed=tuple(sorted(killed)), unattributed=tuple(process.pid for process in perhaps)
        )

    async def _look(self) -> Mapping[int, Seen] | None:
        """Every living process but ours, as of after the call; None if one cannot look now."""
        if self._next is not None:
            look = self._next
            await look.done.wait()
            return look.seen
        look = self._next = _Look()
        with trio.CancelScope(shield=True):  # others wait for it too
            await trio.lowlevel.checkpoint()  # all who start at once get here
            self._next = None
            look.seen = await trio.to_thread.run_sync(_look_at_all)
        look.done.set()
        return look.seen


async def _end_group(cgroup: RunCgroup) -> set[int]:
    """Kill all in a control group and remove it; the pids of whom it killed."""
    killed: set[int] = set()
    with suppress(OSError), trio.move_on_after(_KILL_WAIT_S):
        killed.update(cgroup.pids())
        cgroup.kill()
        while cgroup.populated():
            await trio.lowlevel.checkpoint()
            for process in map(procfs.read_stat, cgroup.pids()):
                if process is not None:
                    await procfs.wait_ended(process)
    cgroup.remove()
    return killed


class _Look:
    def __init__(self) -> None:
        self.done = trio.Event()
        self.seen: Mapping[int, Seen] | None = None


def _look_at_all() -> Mapping[int, Seen] | None:
    me = os.getpid()
    seen: dict[int, Seen] = {}
    try:
        for process in procfs.living():
            if me not in {process.pid, process.parent}:
                env = procfs.environment(process.pid)
                marks = env.get(RUN_ID.encode(), b""), env.get(INSTANCE.encode(), b"")
                seen[process.pid] = Seen(process, *marks)
    except OSError:
        return None
    return seen


def _in_session(process: ProcessStat, leader: ProcessRef) -> bool:
    return process.session == leader.pid and process.start_ticks >= leader.start_ticks


def _is_ours(
    leader: ProcessRef, seen: Mapping[int, Seen], marked: set[int], instance: bytes
) -> bool:
    """Whether the session that has the leader's number is the run's."""
    first = seen.get(leader.pid)
    if first is not None and first.stat.start_ticks == leader.start_ticks:
        # In a copy of a state directory, the run is the other server's.
        return first.instance == instance
    return any(_in_session(seen[pid].stat, leader) for pid in marked)


def _is_bare(leader: ProcessRef, seen: Mapping[int, Seen]) -> bool:
    """Whether the run's first process is there and shows no marks.

    It has cleared its environment, or is in the middle of an execve(2), when it has none to show:
    two looks in a row tell.
    """
    first = seen.get(leader.pid)
    return (
        first is not None and first.stat.start_ticks == leader.start_ticks and first.instance == b""
    )


def _attribute(
    leader: ProcessRef, seen: Mapping[int, Seen], marked: set[int], *, session_is_ours: bool
) -> tuple[list[ProcessStat], list[ProcessStat]]:
    """Surely the run's, and perhaps the run's."""
    session = {pid for pid, it in seen.items() if _in_session(it.stat, leader)}
    own = marked | session if session_is_ours else set(marked)
    found = own
    while found:
        found = {pid for pid, it in seen.items() if it.stat.parent in found} - own
        own |= found
    return [seen[pid].stat for pid in own], [seen[pid].stat for pid in session - own]
