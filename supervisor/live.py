"""A run that has not ended, as the engine keeps it in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import trio

from supervisor.executors import Console, StopBox
from supervisor.log.logwriter import LogWriter
from supervisor.model import Entry, Run, StopRequest
from supervisor.pulse import Pulse
from supervisor.queue import Ticket
from supervisor.wire import EventView


class Posting:
    """An event that was decided: what it makes of the run, and whether it is on disk yet."""

    def __init__(self, run: Run, entry: Entry) -> None:
        """`run` is the run as `entry` leaves it."""
        self.run = run
        self.entry = entry
        self.committed = trio.Event()


class LiveRun:
    """One unfinished run: what is true of it, what is about to be, and its ends.

    `posted` is the run with every event that was decided, `run` the same as far as it is on disk.
    Decisions look at `posted`; whatever is shown to anyone is `run`.
    """

    def __init__(self, run: Run, events: Sequence[EventView]) -> None:
        """`run` and all of its `events` as the journal has them."""
        self.run = run
        self.posted = run
        self.events = list(events)
        """All events of the run that are on disk, oldest first; only ever appended to."""
        self.outbox: deque[Posting] = deque()
        """Decided and not yet on disk, in order."""
        self.ticket = Ticket(
            run_id=run.id,
            seq=run.seq,
            priority=run.spec.priority,
            job=run.spec.job,
            concurrency=run.spec.concurrency,
        )
        self.stop = StopBox()
        self.changed = Pulse()
        """Fires when its log has grown, its status has changed, or it has ended."""
        self.ended = trio.Event()
        """Set once its end is on disk."""
        self.console: Console | None = None
        """Its ends, while it is carried out."""
        self.log: LogWriter | None = None
        """Its log, once it has one; closed once it is complete."""
        self.log_complete = False
        """True once no further byte can come."""
        self.trouble: str | None = None
        """Why it cannot be carried out right now, in words."""

    @property
    def log_size(self) -> int:
        """The offset at which its log ends so far."""
        return 0 if self.log is None else self.log.size

    def wants(self, request: StopRequest) -> bool:
        """Whether `request` changes anything: it is the first, or the first to kill at once.

        The first on record: a shutdown that comes before the start is none, and a cancel that
        follows it keeps the run from waiting for the next server.
        """
        if self.posted.status.ended:
            return False
        receipt = self.posted.stop
        return receipt is None or (request.force and receipt.forced_at is None)
