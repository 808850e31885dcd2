"""Globs: what they match, alone, in SQLite, and as a caller's reach."""

from __future__ import annotations

import fnmatch
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadValue
from supervisor.reach import (
    EVERYTHING,
    MAX_GLOB_LENGTH,
    MAX_GLOBS,
    Reach,
    check_globs,
    glob_matches,
    sqlite_glob,
)

NAMES = st.text("ab-.", max_size=8)
GLOBS = st.text("ab-.*?", max_size=8)
ODD_NAMES = st.text("ab[]^!*?\\é", max_size=6)
ODD_GLOBS = st.text("ab[]^!*?\\é", max_size=6)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("glob", "name"),
    [("*", "a"), ("a*", "a"), ("a*", "abc"), ("*c", "abc"), ("a?c", "abc"), ("a*b*c", "axxbyyc")],
)
def test_a_star_is_any_text_and_a_question_mark_one_character(glob: str, name: str) -> None:
    assert glob_matches(glob, name)


@pytest.mark.parametrize(
    ("glob", "name"),
    [("", "a"), ("a", "ab"), ("b", "ab"), ("a?", "a"), ("a*b", "abc"), ("A", "a"), ("[ab]", "a")],
)
def test_a_glob_matches_the_whole_name_and_nothing_but_stars_is_special(
    glob: str, name: str
) -> None:
    assert not glob_matches(glob, name)


@given(GLOBS, NAMES)
def test_globs_are_those_of_the_shell(glob: str, name: str) -> None:
    assert glob_matches(glob, name) == fnmatch.fnmatchcase(name, glob)


@given(glob=ODD_GLOBS, name=ODD_NAMES)
def test_a_list_filtered_by_the_database_is_filtered_alike(
    database: sqlite3.Connection, glob: str, name: str
) -> None:
    row = database.execute("SELECT ? GLOB ?", (name, sqlite_glob(glob))).fetchone()
    assert bool(row[0]) == glob_matches(glob, name)


def test_a_glob_made_to_be_slow_is_not() -> None:
    assert not glob_matches("*a" * (MAX_GLOB_LENGTH // 2) + "b", "a" * 64)


@given(st.text("ab*", min_size=1, max_size=4), NAMES, NAMES | st.none())
def test_both_claims_narrow_together(glob: str, run_id: str, job: str | None) -> None:
    by_runs, by_jobs = Reach(runs=(glob,)), Reach(jobs=(glob,))
    both = Reach(runs=(glob,), jobs=(glob,))
    assert both.admits(run_id, job) == (by_runs.admits(run_id, job) and by_jobs.admits(run_id, job))
    assert EVERYTHING.admits(run_id, job)


def test_an_ad_hoc_run_is_matched_by_runs_alone() -> None:
    assert Reach(runs=("adhoc-*",)).admits("adhoc-1", None)
    assert not Reach(jobs=("*",)).admits("adhoc-1", None)
    assert not Reach(runs=("*",), jobs=("*",)).admits("adhoc-1", None)


def test_no_globs_at_all_match_nothing() -> None:
    assert not Reach(runs=()).admits("a", "b")
    assert not Reach(jobs=()).admits("a", "b")


def test_globs_that_can_be_in_a_token() -> None:
    check_globs(None)
    check_globs(())
    check_globs(("nightly-*", "a?.b_c", "*"))
    check_globs(("x" * MAX_GLOB_LENGTH,) * MAX_GLOBS)


@pytest.mark.parametrize(
    "glob", ["", "a b", "[ab]", "a/b", "é", "a\n", "\N{ARABIC-INDIC DIGIT ONE}", "x" * 129]
)
def test_a_glob_that_could_match_nothing_is_refused(glob: str) -> None:
    with pytest.raises(BadValue) as refusal:
        check_globs(("good", glob), field="runs")
    assert refusal.value.field == "runs"


def test_too_many_globs_are_refused() -> None:
    with pytest.raises(BadValue, match="at most 64"):
        check_globs(("*",) * (MAX_GLOBS + 1))
