"""Builders and wait helpers for tests: one run's console, or a whole supervisor in a directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio
from msgspec import Struct

from supervisor import clock, lifecycle
from supervisor.executors import Console, Executor, StopBox
from supervisor.journal import Journal, open_journal
from supervisor.live import Posting
from supervisor.log.logfile import Chunk, LogReader
from supervisor.log.logwriter import LogWriter
from supervisor.model import SYSTEM, Actor, Dispatched, Entry, Event, Run, Status, Stream, Submitted
from supervisor.pulse import Pulse
from supervisor.queue import Limits
from supervisor.service import Jobs, Supervisor, open_supervisor
from supervisor.spec import Job, RunSpec
from supervisor.statedir import StateDir, open_state_dir
from supervisor.testing.fake import PROGRAM
from supervisor.wire import SubmitRequest

TESTER = Actor("user", "tester")


# --- one run, for the tests of an executor -------------------------------------------------------


class Recorder:
    """Takes an executor's events as the engine does: each must be legal, and is `recorded`."""

    def __init__(self, run: Run) -> None:
        """`run` is what `events` lead on from."""
        self.run = run
        self.events: list[Event] = []
        self.changed = Pulse()
        """Fires after every event."""
        self.on_event: Callable[[Event], None] = lambda _event: None
        """Called before an event counts as recorded."""

    def post(self, event: Event, by: Actor) -> Posting:
        """For `Console`. Raises IllegalTransition as the engine would."""
        entry = Entry(self.run.id, clock.now(), by, event)
        self.run = lifecycle.advance(self.run, entry)
        self.events.append(event)
        posting = Posting(self.run, entry)
        self.on_event(event)
        posting.committed.set()
        self.changed.fire()
        return posting


class ConsoleRig(Struct, frozen=True):
    """One run's console, with what came of it within reach."""

    console: Console
    stop: StopBox
    recorder: Recorder
    log: LogWriter
    directory: Path

    @property
    def run(self) -> Run:
        """The run as its events have made it."""
        return self.recorder.run

    def output(self, stream: Stream | None = None) -> bytes:
        """What the run wrote, to one stream or to all."""
        return read_log(self.directory, self.run.id, stream)

    async def wait_event(self, kind: type[Event]) -> None:
        """Return once an event of that type was recorded."""
        while not any(isinstance(event, kind) for event in self.recorder.events):
            await self.recorder.changed.wait()

    async def wait_output(self, text: bytes) -> None:
        """Return once the run has written `text`."""
        while text not in self.output():
            await self.log.grew.wait()


def a_run(spec: RunSpec, run_id: str = "run") -> Run:
    """A run of `spec` that has been dispatched."""
    run = lifecycle.begin(Entry(run_id, clock.now(), TESTER, Submitted(spec)), seq=1)
    return lifecycle.advance(run, Entry(run_id, clock.now(), SYSTEM, Dispatched("test")))


@contextmanager
def open_console(directory: Path, run: Run) -> Iterator[ConsoleRig]:
    """A console for `run`, which need not be known to any supervisor; its log is in `directory`."""
    log = LogWriter.create(directory, run.id, run.spec.log_limit)
    recorder, stop = Recorder(run), StopBox()
    try:
        yield ConsoleRig(Console(log, stop, recorder.post), stop, recorder, log, directory)
    finally:
        log.close()


def read_log(directory: Path, run_id: str, stream: Stream | None = None) -> bytes:
    """All bytes of a run's log, or all of one stream."""
    with LogReader.open(directory, run_id) as log:
        data, offset, size = bytearray(), 0, log.size
        while offset < size:
            pieces = log.read(offset, 1 << 20)
            for piece in pieces:
                if isinstance(piece, Chunk) and stream in {None, piece.stream}:
                    data += piece.data
                offset = piece.next
    return bytes(data)


# --- a whole supervisor --------------------------------------------------------------------------


class Rig(Struct, frozen=True):
    """A supervisor at work and what it was made of."""

    supervisor: Supervisor
    executor: Executor
    journal: Journal
    state: StateDir

    def output(self, run_id: str, stream: Stream | None = None) -> bytes:
        """What a run wrote, to one stream or to all."""
        return read_log(self.state.logs, run_id, stream)


@asynccontextmanager
async def open_rig(
    directory: Path,
    executor: Executor | Callable[[StateDir], Executor],
    *,
    jobs: Mapping[str, Job] | None = None,
    max_running: int = 4,
    inline: bool = False,
) -> AsyncIterator[Rig]:
    """A supervisor on the state directory `directory`; open it again to restart it.

    `executor` may be a function that makes one for the state directory. `inline` keeps the journal
    out of threads, which an autojump clock does not wait for.
    """
    with open_state_dir(directory) as state:
        async with open_journal(state.journal, inline=inline) as journal:
            carrier = executor(state) if callable(executor) else executor
            async with open_supervisor(
                journal=journal,
                executor=carrier,
                state=state,
                jobs=Jobs(jobs or {}, cwd="/"),
                limits=Limits(max_running),
            ) as supervisor:
                yield Rig(supervisor, carrier, journal, state)


async def submit(supervisor: Supervisor, *steps: str, **fields: object) -> Run:
    """Submit a fake program of `steps`. `fields` are those of `SubmitRequest`."""
    request = SubmitRequest(command=(PROGRAM, *steps), **fields)  # type: ignore[arg-type]
    run, _new = await supervisor.submit(request, TESTER)
    return run


async def wait_for(
    supervisor: Supervisor, run_id: str, condition: Callable[[Run], bool] | Status
) -> Run:
    """The run as soon as `condition` holds of it (or it has that status).

    Raises AssertionError if the run has ended and the condition never came to hold.
    """
    holds = condition if callable(condition) else lambda run: run.status is condition
    while True:
        # No await lies between this look and the wait: a run that has not ended is in memory.
        run = await supervisor.get(run_id)
        if holds(run):
            return run
        if run.status.ended:
            raise AssertionError(f"run {run_id} ended as {run.status}: {run.message}")
        await supervisor.changed.wait()


async def wait_until(condition: Callable[[], bool], every_s: float = 0.005) -> None:
    """Return once `condition` holds, where nothing tells of it (another process, a file)."""
    while not condition():  # noqa: ASYNC110 - that is what it is for
        await trio.sleep(every_s)
