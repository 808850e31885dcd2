"""Points of Runwire's path at which it can be made to die: before and after each durable step.

They are put around its functions from outside. Runwire itself knows nothing of them.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import supervisor.access.tokenkey
import supervisor.engine
import supervisor.executors.leftovers
import supervisor.journal
import supervisor.log.blocks
import supervisor.log.logwriter
import supervisor.processes.launcher
import supervisor.processes.tree
import supervisor.service
import supervisor.statedir
from supervisor.engine import Engine
from supervisor.executors.leftovers import Sweep
from supervisor.log.logwriter import LogWriter
from supervisor.model import event_name
from supervisor.processes.launcher import GatedProcess, Launcher
from supervisor.processes.tree import Leader

# Where the function is found when it is called, its name, and what it is called here.
STEPS: tuple[tuple[Any, str, str], ...] = (
    (supervisor.statedir, "_write_whole", "instance"),
    (supervisor.access.tokenkey, "_make", "token key"),
    (supervisor.journal, "open_database", "journal opening"),
    (supervisor.log.logwriter, "_open_files", "log making"),
    (supervisor.log.logwriter, "_write_whole", "log record"),
    (LogWriter, "splice", "log bytes"),
    (LogWriter, "_sync", "log sync"),
    (supervisor.log.logwriter, "trim", "log trimming"),
    (supervisor.log.blocks, "reserve", "room reserving"),
    (supervisor.log.blocks, "make_hole", "hole making"),
    (supervisor.service, "remove_log", "log removal"),
    (GatedProcess, "open_gate", "gate opening"),
    (GatedProcess, "reap", "reaping"),
    (Leader, "send_signal", "signalling"),
)
LONG_STEPS: tuple[tuple[Any, str, str], ...] = (
    (Launcher, "launch", "launch"),
    (Sweep, "end_leftovers", "sweep"),
    (Engine, "recover", "recovery"),
)
KINDS = (
    "submitted",
    "dispatched",
    "requeued",
    "started",
    "stop_requested",
    "signalled",
    "paused",
    "resumed",
    "program_exited",
    "resized",
    "succeeded",
    "failed",
    "cancelled",
    "deletion",
)
POINTS = (
    *(f"{when} {label}" for _, _, label in STEPS + LONG_STEPS for when in ("before", "after")),
    *(f"{kind} {how}" for kind in KINDS for how in ("written", "committed")),
)
FIRST_POINTS = tuple(point for point in POINTS if point.endswith(("instance", "token key")))
"""Those that only the first start on a state directory comes to."""
AT_STOP = tuple(point for point in POINTS if point.startswith("requeued"))
"""Those that only a server comes to which is told to stop while it starts a run."""


class Fuse:
    """Kills this process when it gets to `point` for the `nth` time.

    For a point of AT_STOP, it is told to stop when it starts its `nth` run.
    """

    def __init__(self, point: str, nth: int) -> None:
        """Nothing is armed yet."""
        self._point = point
        self._left = nth

    def reach(self, point: str) -> None:
        """To be called at each point."""
        if self._point in AT_STOP:
            if point == "before launch":
                self._count(signal.SIGTERM)
            elif point == self._point:
                os.kill(os.getpid(), signal.SIGKILL)
        elif point == self._point:
            self._count(signal.SIGKILL)

    def _count(self, last: signal.Signals) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), last)

    def arm(self) -> None:
        """Put all points in their places."""
        for owner, name, label in STEPS:
            setattr(owner, name, self._around(getattr(owner, name), label))
        for owner, name, label in LONG_STEPS:
            setattr(owner, name, self._around_long(getattr(owner, name), label))
        self._watch_commits()

    def _around(self, step: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(step)
        def mortal(*args: Any, **named: Any) -> Any:
            self.reach(f"before {label}")
            result = step(*args, **named)
            self.reach(f"after {label}")
            return result

        return mortal

    def _around_long(
        self, step: Callable[..., Awaitable[Any]], label: str
    ) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(step)
        async def mortal(*args: Any, **named: Any) -> Any:
            self.reach(f"before {label}")
            result = await step(*args, **named)
            self.reach(f"after {label}")
            return result

        return mortal

    def _watch_commits(self) -> None:
        """What was written in a transaction is told by its kind, then and once it is committed."""
        from supervisor.journal import writer, writes  # noqa: PLC0415 - to be changed here alone

        written: list[str] = []
        append, delete, commit = writes._append, writes.delete, writer.commit

        def told_append(database: Any, run: Any, entry: Any) -> Any:
            view = append(database, run, entry)
            written.append(event_name(entry.event))
            self.reach(f"{written[-1]} written")
            return view

        def told_delete(database: Any, run_id: str) -> None:
            delete(database, run_id)
            written.append("deletion")
            self.reach("deletion written")

        def told_commit(database: Any, batch: Any) -> None:
            commit(database, batch)
            for kind in written:
                self.reach(f"{kind} committed")
            written.clear()

        writes._append = told_append
        writes.delete = told_delete
        writer.commit = told_commit
