"""Processes whose parent has ended come to this process, the subreaper (PR_SET_CHILD_SUBREAPER(2const)).

So whatever a run leaves behind stays a descendant of this process, and can be found. An orphan is
attributed to the run whose marks its environment bears, or whose session it is in, or, if it bears
none, to the only run that was there when it began. What cannot be attributed is left alone.

As their parent this process also has to reap them, or their numbers would never be free again. The
same is so for what falls to process 1 of a container.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

import trio
from msgspec import Struct

from supervisor.model import ProcessRef
from supervisor.processes import procfs
from supervisor.processes.procfs import ProcessStat

_PR_SET_CHILD_SUBREAPER = 36
_LAUNCHER = "RUNWIRE_LAUNCHER"
_PAUSE_S = 0.05
"""Between two looks for what to reap: a program may end thousands a second."""


class Known(Struct, frozen=True):
    """A run's first process, and what the environment of the run's processes says."""

    ref: ProcessRef
    marks: Mapping[bytes, bytes]


class Orphans:
    """The children of this process that it did not make itself."""

    def __init__(self, own: Callable[[], set[int]]) -> None:
        """`own` tells the pids of its other children. Begins to take orphans in."""
        self._own = own
        self._live: dict[int, Known] = {}
        self._ended: list[Known] = []
        """Runs that are over, as long as there are orphans which may be theirs."""
        _set_subreaper(1)

    @contextmanager
    def watching(self, ref: ProcessRef, marks: Mapping[bytes, bytes]) -> Iterator[None]:
        """A run's first process lives, or is not yet reaped."""
        self._forget()
        known = self._live[ref.pid] = Known(ref, marks)
        try:
            yield
        finally:
            del self._live[ref.pid]
            self._ended.append(known)
            self._forget()

    def left_by(self, ref: ProcessRef) -> list[ProcessStat]:
        """The living orphans that are surely of that run, without their own descendants.

        Raises OSError without a descriptor to look.
        """
        known = self._live[ref.pid]
        return [it for it in self._orphans() if not it.zombie and self._is_of(it, known)]

    def perhaps_left_by(self, ref: ProcessRef) -> list[ProcessStat]:
        """The living orphans that are of that run or of another one that was there, and none says
        of which. To process 1 of a container comes what no run has made, and nothing is said.

        Raises OSError without a descriptor to look.
        """
        known = self._live[ref.pid]
        if os.getpid() == 1:
            return []
        return [
            it
            for it in self._orphans()
            if not it.zombie and known in self._candidates(it) and self._is_nobodys(it, known.marks)
        ]

    def reap(self) -> None:
        """Let go of the orphans that have ended."""
        with suppress(OSError):
            for orphan in self._orphans():
                if orphan.zombie:
                    with suppress(ChildProcessError):
                        os.waitpid(orphan.pid, os.WNOHANG)

    def close(self) -> None:
        """Take in no more orphans."""
        _set_subreaper(0)

    async def keep_reaped(self) -> None:
        """Reap orphans as they end. Never returns."""
        with trio.open_signal_receiver(signal.SIGCHLD) as ended:
            async for _ in ended:
                self.reap()
                await trio.sleep(_PAUSE_S)

    def _forget(self) -> None:
        """Forget the runs that have ended and left nothing behind: no orphan lives that is younger.

        Zombies do not count. What their children were has come to this process as well.
        """
        with suppress(OSError):
            living = (it.start_ticks for it in self._orphans() if not it.zombie)
            youngest = max(living, default=-1)
            self._ended = [it for it in self._ended if it.ref.start_ticks <= youngest]

    def _orphans(self) -> list[ProcessStat]:
        made = self._live.keys() | self._own()
        stats = map(procfs.read_stat, procfs.children() - made)
        return [stat for stat in stats if stat is not None]

    def _candidates(self, orphan: ProcessStat) -> list[Known]:
        """The runs that were there when it began."""
        known = [*self._live.values(), *self._ended]
        return [it for it in known if it.ref.start_ticks <= orphan.start_ticks]

    def _is_nobodys(self, orphan: ProcessStat, names: Collection[bytes]) -> bool:
        """Whether it bears no marks, and several runs may have left it."""
        candidates = self._candidates(orphan)
        if len(candidates) == 1 or any(orphan.session == it.ref.pid for it in candidates):
            return False
        environment = procfs.environment(orphan.pid)
        return not _is_at_gate(environment) and not any(name in environment for name in names)

    def _is_of(self, orphan: ProcessStat, known: Known) -> bool:
        if orphan.session == known.ref.pid:
            return True
        environment = procfs.environment(orphan.pid)
        if _is_at_gate(environment):
            return False
        if any(name in environment for name in known.marks):
            return environment.items() >= known.marks.items()
        # To process 1 of a container also comes what no run has made.
        return os.getpid() != 1 and self._candidates(orphan) == [known]


def launcher_mark() -> dict[str, str]:
    """What the environment of this process's launcher says, and of what waits at a gate with it.

    Such a process is a child that this one does not know of yet, and no orphan.
    """
    return {_LAUNCHER: str(os.getpid())}


def _is_at_gate(environment: Mapping[bytes, bytes]) -> bool:
    return environment.get(_LAUNCHER.encode()) == str(os.getpid()).encode()


def _set_subreaper(on: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
