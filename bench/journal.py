"""How fast the journal is: commits alone and together, and asking it when it is full.

`python -m bench.journal [RUNS]`; RUNS (10,000 unless given) is how many it is filled with.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from supervisor.clock import now
from supervisor.journal import Journal, open_journal
from supervisor.lifecycle import advance
from supervisor.model import (
    SYSTEM,
    Dispatched,
    Entry,
    Event,
    ProcessRef,
    Started,
    Status,
    Submitted,
    Succeeded,
)
from supervisor.outcome import Exited, Usage
from supervisor.runquery import RunQuery
from supervisor.spec import RunSpec

LIFE: tuple[Event, ...] = (
    Dispatched("local"),
    Started(ProcessRef(pid=4711, start_ticks=123456, boot_id="boot")),
    Succeeded(outcome=Exited(exit_code=0, usage=Usage(user_s=0.1, system_s=0.2))),
)


async def live(journal: Journal, number: int) -> None:
    """One run from submit to success: four commits."""
    spec = RunSpec(
        argv=("python3", "-m", "imports.nightly", "--shard", str(number % 8)),
        cwd="/srv/imports",
        job=f"job{number % 50}",
        tags=("orders",),
    )
    run = (await journal.create(Entry(f"r{number}", now(), SYSTEM, Submitted(spec)))).run
    for event in LIFE:
        entry = Entry(run.id, now(), SYSTEM, event)
        run = advance(run, entry)
        await journal.record(run, entry)


async def fill(journal: Journal, numbers: Iterator[int], *, at_once: int) -> None:
    """Take a run for each number through its life, `at_once` of them side by side."""

    async def work() -> None:
        for number in numbers:
            await live(journal, number)

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(work)


@contextmanager
def timed(name: str, count: int = 1, unit: str = "") -> Iterator[None]:
    """Print how long the block took, or `count` in it a second."""
    start = time.perf_counter()
    yield
    took = time.perf_counter() - start
    print(f"{name:44} " + (f"{count / took:9.0f} {unit}/s" if unit else f"{took * 1e3:9.2f} ms"))


async def main() -> None:
    """Fill a journal, then ask it."""
    quick = "--quick" in sys.argv
    runs = 1000 if quick else int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(dir=".") as directory:
        path = Path(directory) / "journal.db"
        async with open_journal(path) as journal:
            alone = runs // 10
            with timed("runs recorded, 1 at a time", alone, "runs"):
                await fill(journal, iter(range(alone)), at_once=1)
            with timed("runs recorded, 50 at once", runs - alone, "runs"):
                await fill(journal, iter(range(alone, runs)), at_once=50)
        print(f"{'size on disk':44} {path.stat().st_size / runs:9.0f} bytes/run")
        with timed(f"open, and the unfinished of {runs} runs"):
            async with open_journal(path) as journal:
                await journal.unfinished()
        async with open_journal(path) as journal:
            await ask(journal)


async def ask(journal: Journal) -> None:
    """The questions that a page of runs puts."""
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "newest 50 runs": functools.partial(journal.list_runs, RunQuery()),
        "newest 50 of a status": functools.partial(
            journal.list_runs, RunQuery(status=(Status.SUCCEEDED,))
        ),
        "newest 50 of a job": functools.partial(journal.list_runs, RunQuery(job="job7")),
        "newest 50 with a tag": functools.partial(journal.list_runs, RunQuery(tag="orders")),
        "text that no run has": functools.partial(journal.list_runs, RunQuery(text="zzz")),
        "last run of each job": journal.last_runs,
        "runs by status": journal.count_by_status,
        "1000 events": functools.partial(journal.events_since, 0),
        "a real write": journal.check,
    }
    for name, question in questions.items():
        await question()  # once before, for what only the first one pays
        with timed(name):
            await question()


if __name__ == "__main__":
    trio.run(main)
