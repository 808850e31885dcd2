"""The engine's facade: everything the web server and the command line can ask of it.

Skeleton: signatures only, being filled in.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from supervisor.logfile import LogReader
from supervisor.model import Actor, Job, Run, Status
from supervisor.pulse import Pulse
from supervisor.wire import CancelRequest, EventView, SignalRequest, SubmitRequest


class RunQuery(Struct, frozen=True, kw_only=True):
    """Which runs to list; all conditions hold together. `before` is a `seq`, exclusive."""

    status: tuple[Status, ...] = ()
    job: str | None = None
    tag: str | None = None
    text: str | None = None
    limit: int = 50
    before: int | None = None


class RunPage(Struct, frozen=True):
    """Newest first. `before` is where the next page starts, None on the last page."""

    runs: tuple[Run, ...]
    before: int | None


class LogView:
    """A run's log for one viewer: read `reader` at your own offset, then wait on `changed`.

    `complete` is True once no further byte can come. Look at `complete` before reading: if it was
    True and the read then reached `reader.size`, that was everything.
    `close()` when done (also a context manager).
    """

    reader: LogReader
    changed: Pulse
    complete: bool


class Supervisor:
    """Submits, carries out, stops and tells of runs. All methods raise errors of supervisor.errors."""

    changed: Pulse  # fires whenever any event was committed

    async def submit(self, request: SubmitRequest, by: Actor) -> tuple[Run, bool]: ...  # (run, created now)
    async def get(self, run_id: str) -> Run: ...  # NoSuchRun
    async def list_runs(self, query: RunQuery) -> RunPage: ...
    async def cancel(self, run_id: str, request: CancelRequest, by: Actor) -> Run: ...  # RunEnded; idempotent
    async def signal(self, run_id: str, request: SignalRequest, by: Actor) -> Run: ...
    async def retry(self, run_id: str, by: Actor) -> Run: ...
    async def delete(self, run_id: str, by: Actor) -> None: ...  # RunNotEnded
    async def events(self, run_id: str) -> Sequence[EventView]: ...
    async def events_since(self, seq: int, limit: int) -> Sequence[EventView]: ...
    def open_log(self, run: Run) -> LogView: ...
    def jobs(self) -> Sequence[Job]: ...
    def job(self, name: str) -> Job: ...  # NoSuchJob
    async def last_runs(self) -> dict[str, Run]: ...  # newest run of each job, by job name
    async def check_ready(self) -> Sequence[str]: ...  # what is wrong, empty when ready
