"""What the journal's tests share: a place, an open journal, and ready-made facts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from supervisor.journal import Journal, open_journal
from supervisor.lifecycle import advance
from supervisor.model import (
    Actor,
    Dispatched,
    Entry,
    Event,
    Moment,
    ProcessRef,
    Run,
    Started,
    Submitted,
    Succeeded,
)
from supervisor.outcome import Exited
from supervisor.spec import RunSpec

ANNA = Actor("user", "anna")
PROCESS = ProcessRef(pid=4711, start_ticks=123456, boot_id="boot-1")
WHOLE_LIFE: tuple[Event, ...] = (
    Dispatched("local"),
    Started(PROCESS),
    Succeeded(outcome=Exited(exit_code=0)),
)


class Facts:
    """Makes entries, each a second after the one before."""

    def __init__(self) -> None:
        self._ticks = 0

    def entry(self, run_id: str, event: Event) -> Entry:
        self._ticks += 1
        wall = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self._ticks)
        return Entry(run_id, Moment(wall, self._ticks * 10**9, "boot-1"), ANNA, event)

    def submitted(self, run_id: str, spec: RunSpec | None = None) -> Entry:
        return self.entry(run_id, Submitted(spec or RunSpec(argv=("true",), cwd="/")))

    def life(self, run: Run, *events: Event) -> Iterator[tuple[Run, Entry]]:
        """The run after each of the events, with the entry that made it so."""
        for event in events or WHOLE_LIFE:
            entry = self.entry(run.id, event)
            run = advance(run, entry)
            yield run, entry

    async def lived(self, journal: Journal, run: Run, *events: Event) -> Run:
        """The run after each of the events was recorded in the journal."""
        for following, entry in self.life(run, *events):
            await journal.record(following, entry)
            run = following
        return run


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    async with open_journal(path) as opened:
        yield opened
