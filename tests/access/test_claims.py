"""Scopes and claims: what they allow, and how they are written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.access.claims import (
    Claims,
    Scope,
    full_claims,
    known_scopes,
    parse_scope,
    show_scope,
)
from supervisor.errors import BadValue, Forbidden
from supervisor.lifecycle import begin
from supervisor.model import Actor, Entry, Moment, Run, Submitted
from supervisor.spec import RunSpec

ANNA = Actor("token", "anna")
SCOPES = st.frozensets(st.sampled_from(list(Scope)))


def a_run(run_id: str, job: str | None) -> Run:
    at = Moment(datetime(2026, 1, 2, tzinfo=UTC), 1, "boot")
    spec = RunSpec(argv=("true",), cwd="/", job=job)
    return begin(Entry(run_id, at, ANNA, Submitted(spec)), seq=1)


@pytest.mark.parametrize("scope", Scope)
def test_no_scope_includes_another(scope: Scope) -> None:
    claims = Claims(actor=ANNA, scopes=frozenset({scope}))
    claims.require(scope)
    assert [other for other in Scope if claims.allows(other)] == [scope]


def test_a_refusal_names_the_missing_scope() -> None:
    claims = Claims(actor=ANNA, scopes=frozenset({Scope.RUNS_READ}))
    with pytest.raises(Forbidden, match="runs:cancel") as refusal:
        claims.require(Scope.RUNS_CANCEL)
    assert refusal.value.scope == "runs:cancel"


def test_full_claims_may_do_everything_to_everything_for_ever() -> None:
    claims = full_claims(ANNA)
    assert claims.scopes == set(Scope)
    assert not claims.narrowed
    assert claims.expires_at is None
    assert claims.covers(a_run("a", None))


def test_globs_narrow_to_runs_and_jobs() -> None:
    claims = Claims(actor=ANNA, scopes=frozenset(), jobs=("import-*",))
    assert claims.narrowed
    assert claims.covers(a_run("a", "import-1"))
    assert not claims.covers(a_run("a", "export"))
    assert not claims.covers(a_run("a", None))
    assert claims.covers_job("import-2")
    assert not claims.covers_job("export")


def test_a_new_run_needs_an_id_that_the_globs_match() -> None:
    claims = Claims(actor=ANNA, scopes=frozenset(), runs=("ci-*",))
    assert claims.covers_run_id("ci-7")
    assert not claims.covers_run_id("x")
    assert not claims.covers_run_id(None)
    assert Claims(actor=ANNA, scopes=frozenset(), jobs=("a",)).covers_run_id(None)


@given(SCOPES)
def test_scopes_are_read_as_they_were_written(scopes: frozenset[Scope]) -> None:
    assert parse_scope(show_scope(scopes)) == scopes
    assert known_scopes(show_scope(scopes).split(" ")) == scopes


@given(st.lists(st.text()), SCOPES)
def test_words_for_others_are_passed_over(words: list[str], scopes: frozenset[Scope]) -> None:
    assert known_scopes([*words, *scopes]) == scopes | (set(words) & set(Scope))


@pytest.mark.parametrize(
    "text", ["runs:*", "runs:read,admin", "Admin", "runs:read\N{NO-BREAK SPACE}x"]
)
def test_a_scope_that_is_none_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(BadValue, match="runs:input") as refusal:
        parse_scope(text, field="scope")
    assert refusal.value.field == "scope"
