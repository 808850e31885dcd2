"""A refusal is the same error on the client as it was on the server."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET, UnsetType, structs

from supervisor.client.refusal import refusal
from supervisor.errors import (
    BadRequest,
    BadValue,
    Conflict,
    Forbidden,
    NoSuchJob,
    NoSuchRun,
    NotFound,
    ProtocolError,
    RunEnded,
    RunIdTaken,
    RunNotEnded,
    RunwireError,
    ShuttingDown,
    StorageUnavailable,
    Unauthenticated,
    Unavailable,
)
from supervisor.wire import Problem


def body(code: str, status: int, scope: str | UnsetType = UNSET) -> bytes:
    """A problem document about the field `name`."""
    told = {"title": "Title", "status": status, "code": code, "detail": "what is wrong"}
    problem = msgspec.convert(told, Problem)
    return msgspec.json.encode(structs.replace(problem, field="name", scope=scope))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (BadRequest, 400),
        (BadValue, 422),
        (Unauthenticated, 401),
        (NoSuchRun, 404),
        (NoSuchJob, 404),
        (RunEnded, 409),
        (RunNotEnded, 409),
        (RunIdTaken, 409),
        (ShuttingDown, 503),
        (StorageUnavailable, 503),
    ],
)
def test_a_code_becomes_the_error_of_that_code(kind: type[RunwireError], status: int) -> None:
    error = refusal(status, body(kind.code, status))
    assert type(error) is kind
    assert (error.message, error.field) == ("what is wrong", "name")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (404, NotFound),
        (409, Conflict),
        (413, BadRequest),
        (429, Unavailable),
        (503, Unavailable),
        (500, ProtocolError),
    ],
)
def test_a_code_of_a_newer_server_is_judged_by_the_status(
    status: int, kind: type[RunwireError]
) -> None:
    assert type(refusal(status, body("some_new_code", status))) is kind


def test_a_missing_scope_is_named() -> None:
    error = refusal(403, body("forbidden", 403, scope="runs:cancel"))
    assert isinstance(error, Forbidden)
    assert error.scope == "runs:cancel"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ProtocolError),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (500, ProtocolError),
        (502, Unavailable),
        (599, ProtocolError),
    ],
)
def test_an_answer_that_is_not_runwires_says_so(status: int, kind: type[RunwireError]) -> None:
    error = refusal(status, b"<html>nginx</html>")
    assert type(error) is kind
    assert str(status) in error.message


def test_a_problem_without_detail_says_its_title() -> None:
    problem = Problem(title="Not Found", status=404, code="not_found")
    assert refusal(404, msgspec.json.encode(problem)).message == "Not Found"
