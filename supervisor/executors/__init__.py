"""The contract between the service and whatever carries a run out.

An executor runs one thing at a time per call and keeps three promises, which one contract test
suite checks for every executor there is:

* `execute` records `Started` before the program's first instruction and returns only when the
  program is gone and its output has been read (or given up, and said so). It does not raise for
  anything the program or its spec did wrong: that is an outcome.
* A stop asked for through `console.stop` always ends the run: the signal, the grace, then the
  whole tree. If the stop came before the start, the program is not started.
* Trio cancellation means that the server is falling. The executor lets go at once and says
  nothing; the next start finds out through `find` and `reattach`. What was recorded as surviving
  a restart it leaves alone, anything else it ends.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Protocol

import msgspec
import trio

from supervisor.conditions import Conditions
from supervisor.errors import StorageUnavailable
from supervisor.log.capture import capture, capture_now
from supervisor.log.logwriter import LogWriter
from supervisor.log.pacing import PipeBudget
from supervisor.model import (
    SYSTEM,
    Actor,
    Event,
    PauseMeans,
    Run,
    StopRequest,
    StopRequested,
    StopStep,
    Stream,
    Tracking,
)
from supervisor.outcome import Outcome
from supervisor.spec import StopScope, TerminalSize
from supervisor.wire import InputTaken


class Posting(Protocol):
    """An event on its way to the disk."""

    committed: trio.Event


class StopBox:
    """The latest wish to stop a run, set by the service and awaited by the executor.

    The first request stays the reason; later ones can only make it harder (`force`).
    """

    def __init__(self) -> None:
        """No stop is wanted yet."""
        self.request: StopRequest | None = None
        self._asked = trio.Event()
        self._forced = trio.Event()

    def ask(self, request: StopRequest) -> None:
        """Want a stop from now on; with `request.force`, an immediate kill."""
        if self.request is None:
            self.request = request
        elif request.force:
            self.request = msgspec.structs.replace(self.request, force=True)
        self._asked.set()
        if request.force:
            self._forced.set()

    async def wait_asked(self) -> StopRequest:
        """Return the request as soon as there is one."""
        await self._asked.wait()
        assert self.request is not None  # noqa: S101 - set before the event
        return self.request

    async def wait_forced(self) -> None:
        """Return as soon as a request asked for an immediate kill."""
        await self._forced.wait()


class Input(Protocol):
    """What a live run reads, from our side."""

    async def send(
        self, data: bytes, *, end: bool = False, patience_s: float = math.inf
    ) -> InputTaken:
        """Hand over `data`, and with `end` its end; what of that was taken in time.

        Raises InputClosed.
        """


class Screen(Protocol):
    """A live run's terminal, from our side."""

    def resize(self, size: TerminalSize) -> None:
        """Set its size; its programs are told."""


class Pausing(Protocol):
    """Suspends the processes of a live run. Neither method waits for anything."""

    def pause(self) -> PauseMeans:
        """Suspend all of them. Raises RunEnded if the program has ended."""

    def resume(self) -> None:
        """Let them go on. Raises RunEnded if there is nothing left of them."""


class Console:
    """A live run's ends, as its executor holds them: output in, the wish to stop, facts out."""

    def __init__(
        self,
        log: LogWriter,
        stop: StopBox,
        post: Callable[[Event, Actor], Posting],
        pipes: PipeBudget | None = None,
    ) -> None:
        """`post` decides an event of this run and has it committed in its turn.

        `pipes` is what pipes of runs may be enlarged by.
        """
        self.log = log
        self.stop = stop
        self.input: Input | None = None
        """What the run reads, while it runs and if it takes input."""
        self.screen: Screen | None = None
        """The terminal that the run is on, while it runs and if it is on one."""
        self.pausing: Pausing | None = None
        """What can pause it, while it runs."""
        self._post = post
        self._pipes = pipes

    async def capture(self, fd: int, stream: Stream) -> None:
        """Move everything from pipe `fd` into the log until its end. Does not close `fd`."""
        await capture(fd, self.log, stream, self._pipes)

    def capture_now(self, fd: int, stream: Stream) -> bool:
        """Move what `fd` holds now into the log, as far as it can be stored; whether that was all."""
        try:
            return capture_now(fd, self.log, stream)
        except StorageUnavailable:
            return False

    def note(self, event: Event) -> None:
        """Have `event` recorded, without waiting: for facts that nothing depends on."""
        self._post(event, SYSTEM)

    async def record(self, event: Event) -> None:
        """Have `event` recorded; it is on disk when this returns."""
        await self._post(event, SYSTEM).committed.wait()

    def ask_stop(self, request: StopRequest) -> None:
        """Want a stop for a reason of the executor's own. No effect if one is already wanted."""
        if self.stop.request is None:
            self._post(StopRequested(request), request.by)
            self.stop.ask(request)


class Trace(enum.Enum):
    """What an executor finds of a run that was dispatched before the server fell."""

    NEVER_STARTED = "never_started"
    STARTED = "started"


class Executor(Protocol):
    """Carries runs out. See the module's text for what each method promises."""

    name: str
    tracking: Tracking | None
    """By what means it usually knows the processes of a run, if it has means of its own."""
    intent_first: bool
    """Whether `Dispatched` must be on disk before `execute`: where something that `execute` makes
    could outlive the server without a start on record. A gate that closes with it rules that out.
    """

    async def check(self, conditions: Conditions) -> None:
        """Raise BadValue, for the field at fault, if no run can be had under these conditions."""

    async def execute(self, run: Run, console: Console) -> Outcome:
        """Run it from start to end."""

    async def find(self, run: Run) -> Trace:
        """Tell whether a run that was dispatched, with no start recorded, ever started."""

    async def reattach(self, run: Run, console: Console) -> Outcome:
        """Go on with a run that was running when the server fell, or end it and say `Lost`."""

    def forget(self, run_id: str) -> None:
        """Its end is on disk, or that it never started: no later server will ask for it."""

    async def signal(self, run: Run, signal: str, scope: StopScope) -> StopStep:
        """Send one signal (a name such as `HUP`) to a running run. Changes no status.

        Raises RunEnded if there is nothing left to signal.
        """
