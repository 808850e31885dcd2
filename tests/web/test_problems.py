"""Every error of ours as an HTTP answer."""

from collections.abc import Iterator
from http import HTTPStatus

import msgspec
import pytest

from supervisor import errors
from supervisor.errors import RunwireError
from web.problems import encode_problem, plain_problem, problem_of, status_of, status_of_kind


def kinds(root: type[RunwireError] = RunwireError) -> Iterator[type[RunwireError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadRequest("x"), 400),
        (errors.BadValue("x", field="f"), 422),
        (errors.RangeNotSatisfiable("x", oldest=0, size=1), 416),
        (errors.NoSuchRun("x"), 404),
        (errors.NoSuchJob("x"), 404),
        (errors.RunEnded("x"), 409),
        (errors.RunNotEnded("x"), 409),
        (errors.RunIdTaken("x"), 409),
        (errors.Unauthenticated("x"), 401),
        (errors.Forbidden("x", scope="runs:read"), 403),
        (errors.ShuttingDown("x"), 503),
        (errors.StorageUnavailable("x"), 503),
    ],
)
def test_whose_fault_it_is_decides_the_status(error: RunwireError, status: int) -> None:
    assert status_of(error) == status
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.detail) == (status, error.code, "x")


def test_field_and_scope_are_named_and_left_out_where_there_is_none() -> None:
    def said(error: RunwireError) -> dict[str, object]:
        decoded: dict[str, object] = msgspec.json.decode(encode_problem(problem_of(error)))
        return decoded

    assert said(errors.BadValue("x", field="limit"))["field"] == "limit"
    assert said(errors.Forbidden("x", scope="admin"))["scope"] == "admin"
    assert said(errors.NoSuchRun("x")) == {
        "title": "Not Found",
        "status": 404,
        "code": "no_such_run",
        "detail": "x",
    }


def test_what_is_our_own_fault_tells_nothing_about_the_inside() -> None:
    ours = [kind for kind in kinds() if status_of_kind(kind) is HTTPStatus.INTERNAL_SERVER_ERROR]
    assert errors.StateDirError in ours
    problem = problem_of(errors.IllegalTransition("a secret"))
    assert (problem.status, problem.code, problem.detail) == (500, "internal", "")


def test_what_http_itself_complains_about_has_codes_of_its_own() -> None:
    assert plain_problem(HTTPStatus.NOT_FOUND, "d").code == "not_found"
    assert plain_problem(HTTPStatus.IM_A_TEAPOT).code == "http_error"
