"""Who may do what: tokens, the Unix socket, scopes and globs."""

import os
import pwd
from datetime import UTC, datetime

import pytest

from supervisor.access.claims import Claims, Scope
from supervisor.errors import ConfigError, Forbidden, Unauthenticated
from supervisor.model import SYSTEM, Actor, Run, Status
from supervisor.spec import RunSpec
from web.auth.auth import NOBODY, bearer_token, make_auth
from web.fence.peer import Peer

STATIC = "s" * 32
REMOTE = Peer(address="192.0.2.7", port=1234)


def a_run(run_id: str, job: str | None) -> Run:
    return Run(
        id=run_id,
        seq=1,
        spec=RunSpec(argv=("true",), cwd="/", job=job),
        status=Status.QUEUED,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by=SYSTEM,
    )


async def test_nobody_is_let_in_without_a_token() -> None:
    with pytest.raises(Unauthenticated):
        await make_auth({}, dev=False).claims_of(REMOTE, None)


async def test_the_static_token_may_do_everything() -> None:
    claims = await make_auth({"WS_AUTH_TOKEN": STATIC}, dev=False).claims_of(REMOTE, STATIC)
    assert claims.scopes == frozenset(Scope)
    assert claims.actor == Actor("token", "WS_AUTH_TOKEN")


@pytest.mark.parametrize(
    "token", ["", "s" * 31, "s" * 33, STATIC.upper(), "devtoken", "s\u0301" * 16]
)
async def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        await make_auth({"WS_AUTH_TOKEN": STATIC}, dev=False).claims_of(REMOTE, token)


async def test_devtoken_is_one_only_with_dev() -> None:
    claims = await make_auth({}, dev=True).claims_of(REMOTE, "devtoken")
    assert claims.scopes == frozenset(Scope)
    with pytest.raises(Unauthenticated):
        await make_auth({}, dev=False).claims_of(REMOTE, "devtoken")


@pytest.mark.parametrize("token", ["short", "s" * 31, "s" * 31 + " ", "s" * 31 + "é", "s\n" * 32])
def test_a_static_token_that_could_be_guessed_or_not_be_sent_stops_the_start(token: str) -> None:
    with pytest.raises(ConfigError, match="WS_AUTH_TOKEN"):
        make_auth({"WS_AUTH_TOKEN": token}, dev=False)


async def test_a_caller_on_the_unix_socket_is_known_by_name_and_needs_no_token() -> None:
    claims = await make_auth({}, dev=False).claims_of(Peer(uid=os.getuid(), pid=1), None)
    assert claims.actor == Actor("user", pwd.getpwuid(os.getuid()).pw_name)
    assert claims.scopes == frozenset(Scope)
    unknown = await make_auth({}, dev=False).claims_of(Peer(uid=987654, pid=1), None)
    assert unknown.actor == Actor("user", "uid 987654")


async def test_a_token_given_on_the_unix_socket_is_what_counts() -> None:
    with pytest.raises(Unauthenticated):
        await make_auth({}, dev=False).claims_of(Peer(uid=0, pid=1), "wrong")


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc ", " Bearer abc"])
def test_a_bearer_header_holds_a_token(header: str) -> None:
    assert bearer_token(header) == "abc"


def test_no_header_is_no_token() -> None:
    assert bearer_token(None) is None


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b", "Bearer é"]
)
def test_any_other_header_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        bearer_token(header)


def test_a_missing_scope_is_named() -> None:
    with pytest.raises(Forbidden) as caught:
        NOBODY.require(Scope.RUNS_CANCEL)
    assert caught.value.scope == "runs:cancel"


@pytest.mark.parametrize(
    ("runs", "jobs", "covered"),
    [
        (None, None, {"r1", "r2"}),
        (("r*",), None, {"r1", "r2"}),
        (("r1",), None, {"r1"}),
        (None, ("nightly-*",), {"r1"}),
        (None, ("*",), {"r1"}),  # an ad-hoc run has no job
        (("r2",), ("nightly-*",), set()),
        ((), None, set()),
    ],
)
def test_globs_narrow_what_a_token_covers(
    runs: tuple[str, ...] | None, jobs: tuple[str, ...] | None, covered: set[str]
) -> None:
    claims = Claims(actor=SYSTEM, scopes=frozenset(Scope), runs=runs, jobs=jobs)
    all_runs = [a_run("r1", "nightly-import"), a_run("r2", None)]
    assert {run.id for run in all_runs if claims.covers(run)} == covered


def test_a_token_for_some_runs_can_only_make_such() -> None:
    claims = Claims(actor=SYSTEM, scopes=frozenset(Scope), runs=("ci-*",))
    assert claims.covers_run_id("ci-1")
    assert not claims.covers_run_id("x")
    assert not claims.covers_run_id(None)
