"""Lists of runs: filters and pages, compared with the same question asked of a plain list."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.errors import BadValue
from supervisor.journal.reads import MAX_PAGE, list_runs
from supervisor.journal.schema import open_database
from supervisor.journal.writes import create, record
from supervisor.model import (
    Cancelled,
    Dispatched,
    Event,
    Failed,
    Reason,
    Run,
    Started,
    Status,
    Succeeded,
)
from supervisor.outcome import Exited
from supervisor.runquery import RunPage, RunQuery
from supervisor.spec import RunSpec

if TYPE_CHECKING:
    from tests.journal.conftest import Facts

JOBS = (None, "import", "report")
TAGS = ("orders", "prod", "rare")
COMMANDS = ("python3 -m imports", "echo Grüße", "TRUE", "50% done_now")
TO: dict[Status, tuple[Event, ...]] = {
    Status.QUEUED: (),
    Status.RUNNING: (Dispatched("local"), Started(None)),
    Status.SUCCEEDED: (Dispatched("local"), Started(None), Succeeded(outcome=Exited(exit_code=0))),
    Status.FAILED: (Failed(reason=Reason.LOST, message="", outcome=Exited(exit_code=1)),),
    Status.CANCELLED: (Cancelled(message=""),),
}

specs = st.builds(
    RunSpec,
    argv=st.sampled_from(COMMANDS).map(lambda line: tuple(line.split())),
    shell=st.none() | st.sampled_from(COMMANDS),
    job=st.sampled_from(JOBS),
    tags=st.lists(st.sampled_from(TAGS)).map(tuple),
    cwd=st.just("/"),
)
populations = st.lists(st.tuples(specs, st.sampled_from(list(Status))), max_size=12)
queries = st.builds(
    RunQuery,
    status=st.lists(st.sampled_from(list(Status)), max_size=3).map(tuple),
    job=st.sampled_from((*JOBS, "nope")),
    tag=st.sampled_from((None, *TAGS, "nope")),
    text=st.sampled_from((None, "", "r1", "R1", "IMPORT", "grüsse", "true", "%", "_", "'", "nope")),
    limit=st.integers(1, 5),
)


@contextmanager
def populated(
    facts: Facts, population: list[tuple[RunSpec, Status]]
) -> Iterator[tuple[sqlite3.Connection, list[Run]]]:
    """A journal with these runs, r0 and on, and the runs, newest first."""
    runs: list[Run] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(open_database(Path(directory) / "journal.db")) as database,
    ):
        database.execute("BEGIN")
        for number, (spec, status) in enumerate(population):
            entry = facts.submitted(f"r{number}", spec)
            run = create(database, entry, digest=None, attempt=1, retry_of=None).run
            if TO[status]:
                for following, entry in facts.life(run, *TO[status]):
                    record(database, following, [entry])
                    run = following
            runs.insert(0, run)
        database.execute("COMMIT")
        yield database, runs


def fits(run: Run, query: RunQuery) -> bool:
    command = run.spec.shell if run.spec.shell is not None else " ".join(run.spec.argv)
    fields = (run.id, run.spec.job or "", command)
    return (
        (not query.status or run.status in query.status)
        and (query.job is None or run.spec.job == query.job)
        and (query.tag is None or query.tag in run.spec.tags)
        and (not query.text or any(query.text.casefold() in text.casefold() for text in fields))
    )


def all_pages(database: sqlite3.Connection, query: RunQuery) -> list[RunPage]:
    pages = [list_runs(database, query)]
    while (before := pages[-1].before) is not None:
        step = RunQuery(
            status=query.status,
            job=query.job,
            tag=query.tag,
            text=query.text,
            limit=query.limit,
            before=before,
        )
        pages.append(list_runs(database, step))
    return pages


@pytest.fixture
def population() -> list[tuple[RunSpec, Status]]:
    return [
        (RunSpec(argv=("true",), cwd="/", job="j", tags=("t",)), status)
        for status in [*Status, *Status]
    ]


@settings(  # facts only count up; how fast a machine is says nothing
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(population=populations, query=queries)
def test_the_pages_together_are_the_runs_that_fit_newest_first(
    facts: Facts, population: list[tuple[RunSpec, Status]], query: RunQuery
) -> None:
    with populated(facts, population) as (database, runs):
        pages = all_pages(database, query)
    listed = [run for page in pages for run in page.runs]
    assert listed == [run for run in runs if fits(run, query)]
    assert all(len(page.runs) == query.limit for page in pages[:-1])


def test_a_full_last_page_is_the_last(
    facts: Facts, population: list[tuple[RunSpec, Status]]
) -> None:
    """Nobody is sent to an empty page."""
    with populated(facts, population) as (database, runs):
        page = list_runs(database, RunQuery(limit=len(runs)))
    assert page == RunPage(tuple(runs), None)


@pytest.mark.parametrize("limit", [-1, 0, MAX_PAGE + 1, 10**30])
def test_a_limit_out_of_bounds_is_refused_by_name(facts: Facts, limit: int) -> None:
    with populated(facts, []) as (database, _), pytest.raises(BadValue) as refusal:
        list_runs(database, RunQuery(limit=limit))
    assert refusal.value.field == "limit"


@pytest.mark.parametrize(
    ("before", "seen"), [(-1, 0), (0, 0), (1, 0), (2, 1), (2**63, 10), (10**30, 10)]
)
def test_any_number_is_a_place_to_begin(
    facts: Facts, population: list[tuple[RunSpec, Status]], before: int, seen: int
) -> None:
    with populated(facts, population) as (database, _):
        assert len(list_runs(database, RunQuery(before=before)).runs) == seen


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "'; DROP TABLE runs; --"])
def test_strange_text_finds_nothing_and_harms_nothing(
    facts: Facts, population: list[tuple[RunSpec, Status]], text: str
) -> None:
    with populated(facts, population) as (database, runs):
        for query in (RunQuery(text=text), RunQuery(job=text), RunQuery(tag=text)):
            assert list_runs(database, query).runs == ()
        assert list_runs(database, RunQuery()).runs == tuple(runs)


@pytest.mark.parametrize(
    "query",
    [
        RunQuery(),
        RunQuery(status=(Status.FAILED, Status.QUEUED)),
        RunQuery(job="j"),
        RunQuery(job="j", status=(Status.FAILED,)),
        RunQuery(tag="t"),
        RunQuery(text="true"),
        RunQuery(text="true", status=(Status.FAILED,)),
    ],
)
def test_a_page_is_found_along_an_index(
    facts: Facts, population: list[tuple[RunSpec, Status]], query: RunQuery
) -> None:
    """No sorting of what fits: the cost of a page does not grow with the number of runs."""
    plans: list[str] = []
    with populated(facts, population) as (database, _):
        statements: list[str] = []
        database.set_trace_callback(statements.append)
        list_runs(database, query)
        database.set_trace_callback(None)
        for statement in statements:
            inner = statement[statement.index("IN (") + 4 : statement.rindex(") ORDER BY")]
            rows = database.execute(f"EXPLAIN QUERY PLAN {inner}")
            plans += [str(row[3]) for row in rows]
    assert plans
    assert not [plan for plan in plans if "TEMP B-TREE" in plan]
