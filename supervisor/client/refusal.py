"""Turns a server's refusal back into the error that it was on the server. Pure."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from supervisor.errors import (
    BadRequest,
    BadValue,
    ConfigError,
    Conflict,
    Forbidden,
    NoSuchJob,
    NoSuchRun,
    NoSuchToken,
    NotFound,
    ProtocolError,
    RunEnded,
    RunIdTaken,
    RunNotEnded,
    RunNotRunning,
    RunwireError,
    ShuttingDown,
    StorageUnavailable,
    TooManySearches,
    Unauthenticated,
    Unavailable,
)
from supervisor.wire import Problem

# RangeNotSatisfiable carries more than a problem says; its status tells enough.
_BY_CODE = {
    error.code: error
    for error in (
        BadRequest,
        BadValue,
        NotFound,
        NoSuchRun,
        NoSuchJob,
        NoSuchToken,
        Conflict,
        RunEnded,
        RunNotEnded,
        RunNotRunning,
        RunIdTaken,
        Unauthenticated,
        Unavailable,
        ShuttingDown,
        StorageUnavailable,
        TooManySearches,
    )
}
_BY_STATUS: dict[int, type[RunwireError]] = {
    401: Unauthenticated,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def refusal(status: int, body: bytes) -> RunwireError:
    """The error that an answer of this HTTP `status` (300 or more) stands for.

    A server's problem document names it by its code; what else answers (a proxy, another
    program) is judged by the status alone.
    """
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        return _unexplained(status)
    message = problem.detail or problem.title
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden(message, scope=problem.scope or None)
    if problem.code == ConfigError.code:
        return ConfigError(tuple(message.splitlines()))
    known = _BY_CODE.get(problem.code) or _BY_STATUS.get(status) or _by_class(status)
    return known(message, field=problem.field or None)


def _unexplained(status: int) -> RunwireError:
    said = f"{status} {_phrase(status)}".rstrip()
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden(f"the server answered {said}")
    error = _BY_STATUS.get(status, ProtocolError)
    return error(f"the server answered {said} without a reason: is this the address of Runwire?")


def _by_class(status: int) -> type[RunwireError]:
    return BadRequest if 400 <= status < 500 else ProtocolError


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
