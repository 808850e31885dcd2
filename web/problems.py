"""Errors as the world sees them: one table from error to HTTP status, one way to say it (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

import msgspec
from quart import Response

from supervisor import errors
from supervisor.wire import Problem, RunView

PROBLEM_TYPE = "application/problem+json"

# The nearest entry up an error's family tree counts. What is not in here is 500.
STATUS: Mapping[type[errors.RunwireError], HTTPStatus] = MappingProxyType(
    {
        errors.BadRequest: HTTPStatus.BAD_REQUEST,
        errors.BadValue: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.RangeNotSatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        errors.NotFound: HTTPStatus.NOT_FOUND,
        errors.Conflict: HTTPStatus.CONFLICT,
        errors.Denied: HTTPStatus.FORBIDDEN,
        errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
        errors.TooManySearches: HTTPStatus.TOO_MANY_REQUESTS,
        errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)

# What HTTP itself has to complain about, before any of our errors can arise.
HTTP_CODES: Mapping[HTTPStatus, str] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: "bad_request",
        HTTPStatus.FORBIDDEN: "wrong_origin",
        HTTPStatus.NOT_FOUND: "not_found",
        HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
        HTTPStatus.REQUEST_TIMEOUT: "request_timeout",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
        HTTPStatus.MISDIRECTED_REQUEST: "wrong_host",
        HTTPStatus.UPGRADE_REQUIRED: "websocket_version",
        HTTPStatus.TOO_MANY_REQUESTS: "too_many_connections",
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers_too_large",
        HTTPStatus.INTERNAL_SERVER_ERROR: "internal",
        HTTPStatus.NOT_IMPLEMENTED: "not_implemented",
        HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
        HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "http_version_not_supported",
    }
)


class HttpProblem(Exception):
    """Something that only HTTP can complain about, such as a body of the wrong type."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """`detail` is one sentence for a person."""
        super().__init__(detail)
        self.status = status
        self.detail = detail


def status_of(error: errors.RunwireError) -> HTTPStatus:
    """The HTTP status that says whose fault `error` is."""
    return status_of_kind(type(error))


def status_of_kind(kind: type[errors.RunwireError]) -> HTTPStatus:
    """The HTTP status that goes with a class of errors."""
    for ancestor in kind.__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem_of(error: errors.RunwireError, run: RunView | None = None) -> Problem:
    """`error` as a problem; one that is our own fault tells nothing about the inside."""
    status = status_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return plain_problem(status)
    scope = error.scope if isinstance(error, errors.Forbidden) else None
    return Problem(
        title=status.phrase,
        status=status,
        code=error.code,
        detail=error.message,
        field=error.field or msgspec.UNSET,
        scope=scope or msgspec.UNSET,
        run=run or msgspec.UNSET,
    )


def plain_problem(status: HTTPStatus, detail: str = "") -> Problem:
    """A problem that HTTP itself defines."""
    return Problem(
        title=status.phrase,
        status=status,
        code=HTTP_CODES.get(status, "http_error"),
        detail=detail,
    )


def encode_problem(problem: Problem) -> bytes:
    """The problem as a body of type `application/problem+json`."""
    return msgspec.json.encode(problem)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as an answer."""
    return Response(
        encode_problem(problem),
        status=problem.status,
        headers=dict(headers or {}),
        content_type=PROBLEM_TYPE,
    )
