"""What an endpoint is: a line of the table that serves, guards and documents it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct
from quart import Response

from supervisor.access.claims import Scope
from supervisor.errors import RunwireError


class Route(Struct, frozen=True, kw_only=True):
    """One endpoint. Its handler's first line of text is its summary.

    `path` has its parameters in braces; the handler gets a `Call` and them, in order. Any one of
    `scopes` lets a caller in, and the handler may ask for more; without any, everybody is let in.
    `raw_body` says that the body is bytes that mean nothing to us.
    `answers` tells the type of each successful answer (None: no JSON), and `problems` the errors
    of ours that may come instead. `lines` tells the types of the lines of an answer that is one JSON
    object a line.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Response]]
    scopes: tuple[Scope, ...] = ()
    query: type[Struct] | None = None
    body: type[Struct] | None = None
    body_required: bool = True
    raw_body: bool = False
    answers: dict[int, type[Struct] | None]
    lines: tuple[type[Struct], ...] = ()
    problems: tuple[type[RunwireError], ...] = ()
