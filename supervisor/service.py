"""The facade: everything the web server, and so every client, can ask of Runwire."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec
import trio

from supervisor.config.settings import Settings
from supervisor.engine import Engine
from supervisor.errors import (
    BadValue,
    NoSuchJob,
    NoSuchRun,
    RunEnded,
    RunNotEnded,
    RunwireError,
    StorageUnavailable,
)
from supervisor.executors import Executor
from supervisor.jobs.checks import check_new_id
from supervisor.jobs.resolve import override_stop, resolve_request
from supervisor.journal import Journal
from supervisor.log.logfile import remove_log
from supervisor.log.repair import mend, needs_mending
from supervisor.logsearch import Searches
from supervisor.logview import LogView
from supervisor.model import SYSTEM, Actor, Run, Status, StopRequest
from supervisor.outcome import StopCause
from supervisor.pulse import Pulse
from supervisor.queue import Limits
from supervisor.reloading import compare, take_effect
from supervisor.running import RunningRuns
from supervisor.runquery import RunPage, RunQuery
from supervisor.servicemanager import ServiceManager
from supervisor.silence import silence_of
from supervisor.spec import Job, LogLimit, Retention
from supervisor.statedir import StateDir
from supervisor.wire import (
    CancelRequest,
    DrainReport,
    EventView,
    LogInfo,
    ReloadReport,
    Silence,
    SubmitRequest,
)

_log = logging.getLogger("runwire")

_CHECK_S = 2.0
"""A journal that takes longer than this to answer is not ready."""

_TELL_S = 5.0
"""Who waits for the last run, and has not asked by then, does not wait any more."""


class Supervisor:
    """Made by `open_supervisor`. Every method raises errors of `supervisor.errors` only."""

    def __init__(
        self, *, engine: Engine, journal: Journal, executor: Executor, logs: Path, jobs: Jobs
    ) -> None:
        """Use `open_supervisor`."""
        self.changed = engine.changed
        """Fires after every commit of any event."""
        self.searches = Searches()
        """The searches of logs that are under way."""
        self.running = RunningRuns(engine, journal, executor)
        """What can be done to runs while they run."""
        self._engine = engine
        self._journal = journal
        self._executor = executor
        self.tracking = executor.tracking
        """By what means the processes of runs are known."""
        self.logs = logs
        """The directory of the runs' logs."""
        self._jobs = jobs
        self._deleting: set[str] = set()
        self._deleted = Pulse()
        """Fires when one of these has been deleted, or could not be."""
        self.retention = Retention()
        """What is kept of runs that have ended."""
        self._settings: Settings | None = None
        self._read: Callable[[], Settings]
        self._manager = ServiceManager()
        self._reloading = trio.Lock()
        self.leave_when_drained = trio.Event()
        """Set when the server is to end after its last run."""
        self._told_drained = trio.Event()
        """Set when whoever wants that has been told that nothing runs."""

    def follow_settings(
        self, settings: Settings, read: Callable[[], Settings], manager: ServiceManager
    ) -> None:
        """Have `reload` go on from `settings`, by those that `read` gives then; it may block.

        `manager` is told when that happens.
        """
        self._settings, self._read, self._manager = settings, read, manager
        self.retention = settings.supervisor.retention

    async def reload(self) -> ReloadReport:
        """Read jobs.toml again, and do from now on what it says; all of it, or nothing.

        Raises ConfigError with every mistake in it.
        """
        async with self._reloading:
            self._manager.reloading()
            try:
                return await self._reload()
            finally:
                self._manager.ready(self.summary())

    async def _reload(self) -> ReloadReport:
        assert self._settings is not None  # noqa: S101 - the daemon has called `follow_settings`
        old, new = self._settings, await trio.to_thread.run_sync(self._read)
        report = compare(old, new)
        self._settings = take_effect(old, new)
        supervisor = self._settings.supervisor
        self.retention = supervisor.retention
        self._jobs = Jobs(new.jobs, self._jobs.cwd, supervisor.log_limit)
        self._engine.limit(Limits(supervisor.max_running))
        return report

    async def submit(self, request: SubmitRequest, by: Actor) -> tuple[Run, bool]:
        """Take a run in; it is on disk when this returns. The flag is False if it already was.

        Raises BadRequest, BadValue or NoSuchJob for the request, RunIdTaken, ShuttingDown and
        StorageUnavailable.
        """
        if request.id is not None:
            check_new_id(request.id)
        spec = resolve_request(request, self._jobs.by_name, cwd=self._jobs.cwd)
        await self._executor.check(spec)
        if spec.log_limit is None:
            spec = msgspec.structs.replace(spec, log_limit=self._jobs.log_limit)
        digest = hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()
        return await self._engine.create(spec, by, run_id=request.id, digest=digest)

    async def retry(self, run_id: str, by: Actor) -> Run:
        """A new run of an ended one's spec.

        Raises NoSuchRun, RunNotEnded, ShuttingDown, BadValue if it cannot be had any more.
        """
        run = await self.get(run_id)
        if not run.status.ended:
            raise RunNotEnded(f"run {run_id} is {run.status}; only an ended run can be retried")
        await self._executor.check(run.spec)
        retry, _new = await self._engine.create(
            run.spec, by, attempt=run.attempt + 1, retry_of=run.retry_of or run.id
        )
        return retry

    async def cancel(self, run_id: str, request: CancelRequest, by: Actor) -> Run:
        """Stop a run; what has begun is on disk when this returns. Asking again is harmless.

        Raises NoSuchRun, BadValue for the signal or grace, RunEnded if it ended otherwise.
        """
        live = self._engine.live.get(run_id)
        if live is None:
            run, too_late = await self._journal.get(run_id), True
        else:
            too_late = live.posted.status.ended
            policy = override_stop(live.run.spec.stop, request)
            await self._engine.stop(live, StopRequest(StopCause.CANCEL, policy, by, request.force))
            run = live.run
        if too_late and run.status is not Status.CANCELLED:
            raise RunEnded(f"run {run_id} has already {run.status}; there is nothing to cancel")
        return run

    async def delete(self, run_id: str, by: Actor) -> None:
        """Forget an ended run and remove its log. Raises NoSuchRun, RunNotEnded."""
        del by
        # Whoever is late would remove the log of the next run of that id.
        while run_id in self._deleting:
            await self._deleted.wait()
        self._deleting.add(run_id)
        with ExitStack() as afterwards:
            afterwards.callback(self._deleted.fire)
            afterwards.callback(self._deleting.discard, run_id)
            run = await self.get(run_id)
            if run_id in self._engine.live or not run.status.ended:
                raise RunNotEnded(f"run {run_id} has not ended; cancel it first")
            with trio.CancelScope(shield=True):
                # The log goes first: as long as the run is known, nobody else can get its id.
                await trio.to_thread.run_sync(remove_log, self.logs, run_id)
                await self._journal.delete(run_id)

    async def get(self, run_id: str) -> Run:
        """The run as it is on disk. Raises NoSuchRun."""
        live = self._engine.live.get(run_id)
        return live.run if live is not None else await self._journal.get(run_id)

    async def wait_ended(self, run_id: str) -> Run:
        """The run, once it has ended. Raises NoSuchRun."""
        live = self._engine.live.get(run_id)
        if live is not None:
            await live.ended.wait()
            return live.run
        return await self._journal.get(run_id)

    async def list_runs(self, query: RunQuery) -> RunPage:
        """Runs that match, newest first."""
        return await self._journal.list_runs(query)

    async def events(self, run_id: str) -> Sequence[EventView]:
        """Everything that happened to the run, oldest first. Raises NoSuchRun."""
        return await self._journal.events(run_id)

    async def history(self, run: Run) -> Sequence[EventView]:
        """The run's events, oldest first; of a live run, a list that grows by itself."""
        live = self._engine.live.get(run.id)
        return live.events if live is not None else await self._journal.events(run.id)

    @property
    def last_seq(self) -> int:
        """The `seq` of the newest event of all runs."""
        return self._engine.last_seq

    async def events_since(self, seq: int, limit: int) -> Sequence[EventView]:
        """Events of all runs after `seq`, oldest first, at most `limit`."""
        return await self._journal.events_since(seq, limit)

    async def run_after(self, event: EventView) -> Run:
        """The run of `event`, no older than the event has left it. Raises NoSuchRun."""
        live = self._engine.live.get(event.entry.run_id)
        # What is on disk may be known there before it is known here.
        if live is not None and live.events[-1].run_seq >= event.run_seq:
            return live.run
        return await self._journal.get(event.entry.run_id)

    def open_log(self, run: Run) -> LogView:
        """The run's log for one viewer, who closes it.

        Raises NoSuchRun if it was deleted since it was asked for, and StorageUnavailable if nothing
        tells what of it the run wrote, and that cannot be mended.
        """
        with ExitStack() as undo:
            view = undo.enter_context(self._look_at(run))
            if view.ended and needs_mending(view.reader, run.log_size or 0):
                if run.id in self._deleting or not self._journal.knows_now(run):
                    raise NoSuchRun(f"run {run.id} was just deleted")
                if view.reader.index_lost:
                    raise StorageUnavailable(f"the index of the log of run {run.id} is gone")
            undo.pop_all()
        return view

    def log_info(self, run: Run) -> LogInfo:
        """How long the run's log is and where it begins."""
        with self._look_at(run) as view:
            size = view.reader.size if run.log_size is None else run.log_size
            return LogInfo(size=size, oldest=view.reader.oldest)

    def _look_at(self, run: Run) -> LogView:
        """The run's log, which is mended first if it needs that and it can be."""
        live = self._engine.live.get(run.id)
        view = LogView(self.logs, run.id, live)
        if live is None and run.log_size and run.id not in self._deleting:
            with suppress(StorageUnavailable):  # then there is less to see
                # Who asks may know the run from before it was deleted: it gets no log again.
                if needs_mending(view.reader, run.log_size) and self._journal.knows_now(run):
                    _log.error("the log of run %s, or its index, was gone or cut short", run.id)
                    mend(self.logs, run.id, run.log_size)
        return view

    async def silence(self, run: Run) -> Silence | None:
        """For how long the run has written nothing, and why that may be; None if it has not."""
        return await silence_of(run, self.logs)

    async def oldest_ended(self, limit: int) -> Sequence[tuple[str, datetime]]:
        """The ids and ends of the first `limit` runs that have ended, oldest first."""
        return await self._journal.oldest_ended(limit)

    async def count_ended(self) -> int:
        """How many runs have ended and are still known."""
        counts = await self._journal.count_by_status()
        return sum(count for status, count in counts.items() if status.ended)

    def live_runs(self) -> Collection[str]:
        """The ids of the runs that have not ended."""
        return self._engine.live.keys()

    def jobs(self) -> Sequence[Job]:
        """All jobs, in the order of jobs.toml."""
        return tuple(self._jobs.by_name.values())

    def job(self, name: str) -> Job:
        """The job of that name. Raises NoSuchJob."""
        try:
            return self._jobs.by_name[name]
        except KeyError:
            raise NoSuchJob(f'there is no job "{name}"') from None

    async def last_runs(self) -> dict[str, Run]:
        """The newest run of each job that ever ran, by job name."""
        return await self._journal.last_runs()

    def drain(self, *, leave: bool = False) -> DrainReport:
        """Take no more runs, and let those that run end by themselves; how many there are.

        `leave` has the server end after the last of them. Harmless to repeat.
        """
        self._engine.drain()
        waiting, running = self.counts()
        if leave:
            self.leave_when_drained.set()
            if not running:
                self._told_drained.set()
        return DrainReport(running=running, queued=waiting)

    async def wait_drained(self) -> None:
        """Return when `drain` was told to leave, and nothing runs any more.

        Who told it so asks again, and is told first: a service manager that keeps the sockets would
        start the server again for a request that comes when it is gone.
        """
        await self.leave_when_drained.wait()
        while self.counts()[1]:
            await self.changed.wait()
        with trio.move_on_after(_TELL_S):
            await self._told_drained.wait()

    def spare(self) -> None:
        """The next server takes over at once: `stop_all` leaves runs alone that survive that."""
        self._engine.spare()

    def spared(self) -> int:
        """How many runs are left alone so."""
        return self._engine.spared()

    async def stop_all(self, *, force: bool = False) -> None:
        """Take no more runs, stop those that run and see their end; `force` kills them.

        Raises StorageUnavailable if all have ended, and that could not be recorded for a while.
        """
        await self._engine.stop_all(force=force)

    def counts(self) -> tuple[int, int]:
        """How many runs wait, and how many hold a slot."""
        return self._engine.counts()

    def summary(self) -> str:
        """How things are, in a few words for people."""
        waiting, running = self.counts()
        return "; ".join([f"{running} running, {waiting} queued", *self.troubles()[:1]])

    def troubles(self) -> Sequence[str]:
        """What cannot be stored right now, in words; what concerns all runs first."""
        return self._engine.troubles()

    async def check_ready(self) -> Sequence[str]:
        """What keeps the server from doing its work, in words; empty when nothing does."""
        found = self._engine.troubles()
        if self._engine.closing:
            draining = self._engine.draining
            found.append(f"the server is {'draining' if draining else 'shutting down'}")
        with trio.move_on_after(_CHECK_S) as patience:
            try:
                await self._journal.check()
            except StorageUnavailable as exc:
                found.append(exc.message)
        found = list(dict.fromkeys(found))
        if patience.cancelled_caught:
            found.append(f"the journal did not answer within {_CHECK_S:g} s")
        return found

    async def check_answers(self) -> None:
        """Return when the journal has answered, whatever it said."""
        with suppress(StorageUnavailable):
            await self._journal.check()

    async def refused(self) -> Sequence[str]:
        """The jobs of which no run can be had here, each with the reason in words."""
        found = []
        for job in self.jobs():
            try:
                await self._executor.check(job)
            except BadValue as exc:
                found.append(f"job {job.name} will be refused: {exc.field}: {exc.message}")
        return found

    async def autostart(self) -> Sequence[str]:
        """Submit the jobs that are to start with the server; what went wrong, in words.

        A job that is still waiting or running from before is not submitted again.
        """
        present = {live.run.spec.job for live in self._engine.live.values()}
        troubles: list[str] = []
        for job in self.jobs():
            if job.autostart and job.name not in present:
                try:
                    await self.submit(SubmitRequest(job=job.name), SYSTEM)
                except RunwireError as exc:
                    troubles.append(f"job {job.name} cannot be started: {exc.message}")
        return troubles


class Jobs(msgspec.Struct, frozen=True):
    """The jobs of one jobs.toml, the directory that ad-hoc commands start in, and the log limit of
    runs that have none of their own."""

    by_name: Mapping[str, Job]
    cwd: str
    log_limit: LogLimit | None = None


@asynccontextmanager
async def open_supervisor(
    *,
    journal: Journal,
    executor: Executor,
    state: StateDir,
    jobs: Jobs,
    limits: Limits,
    log_sync_s: float = 1.0,
) -> AsyncIterator[Supervisor]:
    """The engine at work: what an earlier server left is taken up before this yields.

    On a normal exit every running run is stopped and its end recorded; queued ones stay queued.
    If cancelled, it lets go at once, and the next start finds out what became of each run.
    """
    async with trio.open_nursery() as nursery:
        engine = Engine(
            journal=journal, executor=executor, state=state, limits=limits, nursery=nursery
        )
        await engine.recover()
        nursery.start_soon(engine.open_logs.keep_synced, log_sync_s)
        yield Supervisor(
            engine=engine, journal=journal, executor=executor, logs=state.logs, jobs=jobs
        )
        await engine.stop_all()
        nursery.cancel_scope.cancel()
