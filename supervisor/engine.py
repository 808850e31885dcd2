"""The lives of runs: they wait, start, are carried out, stopped, and end; all of it recorded.

Three rules hold this together:

* Every change of a run is an event, decided by `lifecycle.advance` in one synchronous step
  (`post`), committed in the order decided, and shown to nobody before that.
* After every change `queue.admit` says what may start; nothing else ever starts a run.
* A run's life is one task, `_execute` or `_reattach`, in the nursery that `Engine` was given.
"""

from __future__ import annotations

import bisect
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from supervisor import clock, lifecycle
from supervisor.errors import RunIdTaken, RunwireError, ShuttingDown, StorageUnavailable
from supervisor.executors import Console, Executor, StopBox, Trace
from supervisor.journal import Journal
from supervisor.live import LiveRun, Posting
from supervisor.log.capture import RETRY_S
from supervisor.log.logwriter import LogWriter
from supervisor.log.pacing import PipeBudget
from supervisor.model import (
    SYSTEM,
    Actor,
    Cancelled,
    Dispatched,
    Entry,
    Event,
    Failed,
    Reason,
    Requeued,
    Run,
    Status,
    StopReceipt,
    StopRequest,
    StopRequested,
    Submitted,
)
from supervisor.outcome import Crashed, NotStarted, Outcome, StopCause
from supervisor.pulse import Pulse
from supervisor.queue import Limits, Ticket, admit
from supervisor.runlogs import RunLogs, sync_whole
from supervisor.spec import RunSpec
from supervisor.statedir import StateDir
from supervisor.wire import EventView

_ID_BYTES = 6
_ID_TRIES = 8
_RECORD_S = 10.0
"""How long a server that is stopped waits for storage that fails, with nothing else to do."""

_log = logging.getLogger("runwire.engine")

Carry = Callable[[Run, Console], Awaitable[Outcome]]


class Engine:
    """All unfinished runs and everything that happens to them."""

    def __init__(
        self,
        *,
        journal: Journal,
        executor: Executor,
        state: StateDir,
        limits: Limits,
        nursery: trio.Nursery,
    ) -> None:
        """`nursery` is where runs live; whoever cancels it lets them all go."""
        self.live: dict[str, LiveRun] = {}
        self.changed = Pulse()
        """Fires after every commit of any event."""
        self.last_seq = 0
        """The `seq` of the newest event that is on disk."""
        self._journal = journal
        self._executor = executor
        self._limits = limits
        self._nursery = nursery
        self._waiting: list[Ticket] = []
        self._active: dict[str, Ticket] = {}
        self._posted: dict[str, LiveRun] = {}
        """Those of which something is to be committed, in the order in which it was posted."""
        self._committing = False
        """Whether somebody is at work on these."""
        self.open_logs = RunLogs(state.logs)
        """Of those that are being carried out."""
        self._pipes = PipeBudget()
        self._recovered = False
        self._closing = False
        self.draining = False
        """Whether it was told to `drain`."""
        self._trouble: str | None = None
        self._sparing = False

    def limit(self, limits: Limits) -> None:
        """Admit runs by `limits` from now on. Those that run are left alone."""
        self._limits = limits
        self._admit()

    # --- what others ask of it ------------------------------------------------------------------

    async def create(
        self,
        spec: RunSpec,
        by: Actor,
        *,
        run_id: str | None = None,
        digest: str | None = None,
        attempt: int = 1,
        retry_of: str | None = None,
    ) -> tuple[Run, bool]:
        """Take a run in; it is on disk when this returns. False if the same request made it before.

        Raises RunIdTaken, ShuttingDown, StorageUnavailable.
        """
        for _ in range(_ID_TRIES):
            if self._closing:
                doing = "draining" if self.draining else "shutting down"
                raise ShuttingDown(f"the server is {doing} and takes no new runs")
            entry = Entry(run_id or secrets.token_hex(_ID_BYTES), clock.now(), by, Submitted(spec))
            try:
                created = await self._journal.create(
                    entry, digest=digest, attempt=attempt, retry_of=retry_of
                )
            except RunIdTaken:
                if run_id is not None:
                    raise
                continue
            if created.new:
                self.last_seq = max(self.last_seq, created.event.seq)
                live = LiveRun(created.run, [created.event])
                self._wait(live)
                self.changed.fire()
                # The others could not start before, and cannot now: there may be thousands.
                self._admit([live.ticket])
            return created.run, created.new
        raise RunIdTaken("no free run id was found")

    async def stop(self, live: LiveRun, request: StopRequest) -> None:
        """Want the run stopped; what has begun is on disk when this returns.

        One that waits ends at once. For one that is being stopped only `force` changes anything.
        Raises StorageUnavailable if it is being stopped, and that cannot be recorded now.
        """
        if live.ticket in self._waiting:
            self._waiting.remove(live.ticket)
            self._end(live, Cancelled(message="cancelled while queued"), request.by)
        elif live.wants(request):
            self.post(live, StopRequested(request), request.by)
            # The stop goes ahead of its commit: a full disk must not keep a job alive.
            live.stop.ask(request)
        if live.outbox:
            await self.wait_committed(live.outbox[-1])

    def post(self, live: LiveRun, event: Event, by: Actor, *, hold: bool = False) -> Posting:
        """Decide `event` now; it is committed after all events of this run posted before it.

        With `hold` it waits to be committed together with the next one. Raises IllegalTransition
        if the run's status does not allow it.
        """
        entry = Entry(live.run.id, clock.now(), by, event, live.log_size)
        live.posted = lifecycle.advance(live.posted, entry)
        posting = Posting(live.posted, entry)
        live.outbox.append(posting)
        if not hold:
            self._posted[live.run.id] = live
            if not self._committing:
                self._committing = True
                self._nursery.start_soon(self._commit_posted)
        return posting

    async def wait_committed(self, posting: Posting) -> None:
        """Return once it is on disk. Raises StorageUnavailable if that may take long."""
        while not posting.committed.is_set():
            if self._trouble is not None:
                raise StorageUnavailable(f"it is being done, but not recorded yet: {self._trouble}")
            await self.changed.wait()

    def counts(self) -> tuple[int, int]:
        """How many runs wait, and how many hold a slot."""
        return len(self._waiting), len(self._active)

    def troubles(self) -> list[str]:
        """What cannot be stored right now, in words."""
        found = [self._trouble, *(live.trouble for live in self.live.values())]
        return [*(trouble for trouble in found if trouble is not None), *self.open_logs.troubles()]

    @property
    def closing(self) -> bool:
        """Whether it takes no new runs any more."""
        return self._closing

    # --- its own lifetimes ----------------------------------------------------------------------

    async def recover(self) -> None:
        """Take up what the last server left: who waited waits again, who ran is looked for."""
        self.last_seq = await self._journal.last_seq()
        for run in await self._journal.unfinished():
            events = await self._journal.events(run.id)
            live = self.live[run.id] = LiveRun(run, events)
            if run.stop is not None:
                live.stop.ask(_request_of(run.stop, run.spec))
            if run.status is Status.RUNNING:
                self._begin(live, self._reattach)
            elif run.dispatched_at is None:
                self._wait(live)
            elif await self._executor.find(run) is Trace.STARTED:
                self._begin(live, self._reattach)
            else:
                self._never_started(live, Requeued("the server went down before it started"))
        self._recovered = True
        self._admit()

    def drain(self) -> None:
        """Take no more runs and start none of those that wait; leave those that run alone."""
        self._closing = self.draining = True
        self.changed.fire()

    def spare(self) -> None:
        """The next server takes over at once: `stop_all` leaves those alone that survive that."""
        self._sparing = True

    def spared(self) -> int:
        """How many of those that hold a slot are left alone so."""
        return len(self._active) - len(self._to_be_stopped())

    async def stop_all(self, *, force: bool = False) -> None:
        """Take no more runs, stop those that run and see their end. Who waits goes on waiting.

        Raises StorageUnavailable if all have ended, and that could not be recorded for a while.
        """
        self._closing = True
        for live in self._to_be_stopped():
            request = StopRequest(StopCause.SHUTDOWN, live.run.spec.stop, SYSTEM, force)
            if live.posted.status is Status.QUEUED:
                live.stop.ask(request)  # It has not started, so it waits again.
            else:
                self._nursery.start_soon(self._stop_quietly, live, request)
        await self._wait_recorded()

    async def _wait_recorded(self) -> None:
        """Return once no run but those spared holds a slot any more, and all of it is on disk.

        Raises as `stop_all`.
        """
        with trio.CancelScope() as patience:
            while (left := self._to_be_stopped()) or any(it.outbox for it in self.live.values()):
                if self._trouble is None or not all(it.posted.status.ended for it in left):
                    patience.deadline = math.inf
                elif patience.deadline == math.inf:
                    patience.deadline = trio.current_time() + _RECORD_S
                await self.changed.wait()
        if patience.cancelled_caught:
            raise StorageUnavailable(
                f"runs have ended, and that cannot be recorded: {', '.join(sorted(self._active))} "
                f"({self._trouble}); the next start finds them lost"
            )

    def _to_be_stopped(self) -> list[LiveRun]:
        active = [self.live[run_id] for run_id in self._active]
        return [it for it in active if not (self._sparing and it.posted.survives_restart)]

    async def _stop_quietly(self, live: LiveRun, request: StopRequest) -> None:
        with suppress(StorageUnavailable):  # `troubles` tells.
            await self.stop(live, request)

    # --- waiting and starting -------------------------------------------------------------------

    def _wait(self, live: LiveRun) -> None:
        self.live[live.run.id] = live
        self.open_logs.make_way(live.run.id)
        bisect.insort(self._waiting, live.ticket, key=Ticket.order)
        if live.run.spec.queue_timeout_s is not None:
            self._nursery.start_soon(self._expire, live, live.run.spec.queue_timeout_s)

    async def _expire(self, live: LiveRun, limit_s: float) -> None:
        """End it if it waits too long; the time counts from when it was submitted."""
        submitted = live.events[0].entry.at
        left_s = clock.seconds_until(clock.after(submitted, limit_s))
        with trio.move_on_after(max(0.0, left_s)):
            while live.ticket in self._waiting:
                await live.changed.wait()
            return
        if live.ticket in self._waiting:
            self._waiting.remove(live.ticket)
            outcome = NotStarted(message="it waited too long for its turn")
            reason = Reason.QUEUE_TIMEOUT
            self._end(live, Failed(reason=reason, message=outcome.message, outcome=outcome), SYSTEM)

    def _admit(self, candidates: Sequence[Ticket] | None = None) -> None:
        """Start what may start of `candidates`, or of all that wait."""
        if self._closing or not self._recovered:
            return
        waiting = self._waiting if candidates is None else candidates
        for ticket in admit(waiting, self._active.values(), self._limits):
            self._waiting.remove(ticket)
            self._begin(self.live[ticket.run_id], self._execute)

    def _begin(self, live: LiveRun, life: Callable[[LiveRun], Awaitable[None]]) -> None:
        self._active[live.run.id] = live.ticket
        self._nursery.start_soon(self._contain, live, life)

    # --- the life of one run --------------------------------------------------------------------

    async def _contain(self, live: LiveRun, life: Callable[[LiveRun], Awaitable[None]]) -> None:
        """The one place where bugs are contained: one of ours fails this run and no other."""
        try:
            await life(live)
        except Exception as exc:
            _log.exception("run %s: its execution failed", live.run.id)
            if live.posted.status.ended:
                raise
            self._end(live, lifecycle.judge(Crashed(message=_in_words(exc))), SYSTEM)

    async def _execute(self, live: LiveRun) -> None:
        first = self._executor.intent_first
        dispatched = self.post(live, Dispatched(self._executor.name), SYSTEM, hold=not first)
        if first:
            await dispatched.committed.wait()
        log = await self.open_logs.open(live, unless_stopped=True)
        if log is None:
            self._never_started(live, Requeued("the server went down before it started"))
        else:
            await self._carry_out(live, log, self._executor.execute)

    async def _reattach(self, live: LiveRun) -> None:
        log = await self.open_logs.open(live)
        assert log is not None  # noqa: S101 - it was waited for
        await self._carry_out(live, log, self._executor.reattach)

    async def _carry_out(self, live: LiveRun, log: LogWriter, carry: Carry) -> None:
        """From its first byte to its end, which is then on its way to the disk."""
        live.log = log
        live.console = Console(log, live.stop, self._poster(live), self._pipes)
        try:
            outcome = await carry(live.run, live.console)
            if live.posted.status is Status.QUEUED and _waits_on(outcome):
                self._never_started(live, Requeued("the server went down before it started"))
                return
            live.log_complete = True
            live.changed.fire()
            await sync_whole(log)
        finally:
            live.console = None
            self.open_logs.close(log)
        self._end(live, lifecycle.judge(outcome), SYSTEM)

    def _never_started(self, live: LiveRun, requeued: Requeued) -> None:
        """It waits again, unless somebody wanted it cancelled."""
        self._active.pop(live.run.id, None)
        self._executor.forget(live.run.id)
        if live.posted.stop is not None:
            self._end(live, Cancelled(message="cancelled before it started"), SYSTEM)
            self._admit()
            return
        self.post(live, requeued, SYSTEM)
        live.stop, live.log, live.trouble = StopBox(), None, None
        self._wait(live)

    def _end(self, live: LiveRun, event: Event, by: Actor) -> Posting:
        """Have its end recorded; `_commit_posted` then lets go of it."""
        live.log_complete = True
        return self.post(live, event, by)

    def _let_go(self, live: LiveRun) -> None:
        """Its end is on disk: another may start in its place."""
        del self.live[live.run.id]
        self._active.pop(live.run.id, None)
        self._executor.forget(live.run.id)
        live.ended.set()

    # --- recording ------------------------------------------------------------------------------

    def _poster(self, live: LiveRun) -> Callable[[Event, Actor], Posting]:
        return lambda event, by: self.post(live, event, by)

    async def _commit_posted(self) -> None:
        """Commit what was posted, for all runs together, in order, until nothing is left."""
        while self._posted:
            lives = list(self._posted.values())
            self._posted.clear()
            batches = [list(live.outbox) for live in lives]
            for live, batch, events in zip(
                lives, batches, await self._commit(batches), strict=True
            ):
                self._committed(live, batch, events)
            if any(live.run.status.ended for live in lives):
                self._admit()
            self.changed.fire()
        self._committing = False

    def _committed(
        self, live: LiveRun, batch: Sequence[Posting], events: Sequence[EventView]
    ) -> None:
        """Show what is on disk now."""
        for posting, event in zip(batch, events, strict=True):
            live.outbox.popleft()
            live.events.append(event)
            self.last_seq = max(self.last_seq, event.seq)
            live.run = posting.run
            posting.committed.set()
        if live.run.status.ended:
            self._let_go(live)
        live.changed.fire()

    async def _commit(self, batches: Sequence[Sequence[Posting]]) -> list[list[EventView]]:
        """What happened has happened, so storage that fails is tried until it works."""
        changes = [(batch[-1].run, [posting.entry for posting in batch]) for batch in batches]
        while True:
            try:
                events = await self._journal.record_all(changes)
            except StorageUnavailable as exc:
                self._trouble = exc.message
                self.changed.fire()
                await trio.sleep(RETRY_S)
            else:
                self._trouble = None
                return events


def _waits_on(outcome: Outcome) -> bool:
    """Whether it was kept from starting by nothing but our own shutdown."""
    return isinstance(outcome, NotStarted) and outcome.stopped is StopCause.SHUTDOWN


def _in_words(exc: BaseException) -> str:
    """What went wrong, in one line; of a group that holds one exception, that one."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if isinstance(exc, RunwireError):
        return exc.message
    return f"a bug in Runwire: {type(exc).__name__}: {exc}"


def _request_of(stop: StopReceipt, spec: RunSpec) -> StopRequest:
    """The wish that a receipt tells of."""
    force = stop.forced_at is not None
    return StopRequest(stop.cause, stop.policy or spec.stop, stop.requested_by, force)
