"""What a fallen server left of a run: found by identity, killed where it is surely the run's.

A process is the run's if its environment bears the run's marks, or if it belongs to the session of
the run's leader and that leader is still alive with the start time on record. A process in a
session of that number whose leader is gone may be somebody else's by now: it is reported, never
killed.
"""

from __future__ import annotations

import os

import trio
from msgspec import Struct

from supervisor import procfs
from supervisor.clock import boot_id
from supervisor.executors.environment import INSTANCE, RUN_ID
from supervisor.model import ProcessRef, Run

_KILL_WAIT_S = 5.0


class Leftovers(Struct, frozen=True):
    """The pids killed, and those left alone because they cannot be attributed."""

    killed: tuple[int, ...] = ()
    unattributed: tuple[int, ...] = ()


async def end_leftovers(run: Run, instance: str) -> Leftovers:
    """Kill every process that is surely the run's; look again until none is left."""
    if run.process is None or run.process.boot_id != boot_id():
        return Leftovers()
    killed: set[int] = set()
    foreign: list[procfs.ProcessStat] = []
    with trio.move_on_after(_KILL_WAIT_S):
        while True:
            own, foreign = _attribute(run.id, run.process, instance)
            if not own:
                break
            for process in own:
                if procfs.send_signal(process, "KILL"):
                    killed.add(process.pid)
            for process in own:
                await procfs.wait_ended(process)
    return Leftovers(
        killed=tuple(sorted(killed)), unattributed=tuple(process.pid for process in foreign)
    )


def _attribute(
    run_id: str, leader: ProcessRef, instance: str
) -> tuple[list[procfs.ProcessStat], list[procfs.ProcessStat]]:
    """Surely the run's, and perhaps the run's."""
    own: list[procfs.ProcessStat] = []
    perhaps: list[procfs.ProcessStat] = []
    marks = {RUN_ID.encode(): os.fsencode(run_id), INSTANCE.encode(): os.fsencode(instance)}
    leader_lives = _is_alive(leader)
    for process in procfs.living():
        env = procfs.environment(process.pid)
        in_session = process.session == leader.pid and process.start_ticks >= leader.start_ticks
        if all(env.get(name) == value for name, value in marks.items()) or (
            in_session and leader_lives
        ):
            own.append(process)
        elif in_session:
            perhaps.append(process)
    return own, perhaps


def _is_alive(leader: ProcessRef) -> bool:
    stat = procfs.read_stat(leader.pid)
    return stat is not None and not stat.zombie and stat.start_ticks == leader.start_ticks
