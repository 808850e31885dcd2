"""`POST /runs` past Quart: the same door, handler and answer in half the time.

It is what programs ask most, and for such a small request the framework's own takes longer than
what it is for. Only what is plain is answered here: JSON of a known length, from no page of another
site. All else goes the long way, and so does, once more, what is refused: there it is told why.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    HTTPScope,
    Scope,
)

from supervisor.config.settings import WebSettings
from supervisor.errors import RunwireError
from supervisor.model import Run
from supervisor.service import Supervisor
from supervisor.wire import SubmitRequest, show_run
from web.api.call import JSON, decode_body
from web.api.runs import take_in
from web.auth.auth import Auth, bearer_token
from web.door import own_names
from web.fence.peer import Peer
from web.hosts import host_allowed

Asgi = Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Coroutine[Any, Any, None]]


class Shortcut:
    """An ASGI application in front of another one, which has the last word."""

    def __init__(
        self,
        app: Asgi,
        supervisor: Supervisor,
        settings: WebSettings,
        auth: Auth,
        headers: Mapping[str, str],
    ) -> None:
        """`headers` are those of every answer."""
        self._app = app
        self._supervisor = supervisor
        self._settings = settings
        self._auth = auth
        self._names = own_names(settings)
        vary = {"Vary": "Origin"} if settings.cors_origins else {}
        self._headers = [
            (name.lower().encode(), text.encode())
            for name, text in ({"Content-Type": JSON} | dict(headers) | vary).items()
        ]

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer one request, or have it answered."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != "/runs":
            await self._app(scope, receive, send)
            return
        heard: list[ASGIReceiveEvent] = []
        try:
            run, created = await self._take_in(scope, heard, receive)
        except (_NotPlain, RunwireError, trio.TooSlowError):
            await self._app(scope, _again(heard, receive), send)
        else:
            await self._answer(run, send, created=created)

    async def _take_in(
        self, scope: HTTPScope, heard: list[ASGIReceiveEvent], receive: ASGIReceiveCallable
    ) -> tuple[Run, bool]:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if len(headers) < len(list(scope["headers"])):
            raise _NotPlain
        peer = scope["state"]["peer"]
        assert isinstance(peer, Peer)  # noqa: S101 - the fence put it there
        self._check_plain(headers, peer)
        with trio.fail_after(self._settings.limits.idle_timeout_s):
            body = await _hear(heard, receive)
        claims = await self._auth.claims_of(peer, bearer_token(headers.get(b"authorization")))
        return await take_in(self._supervisor, claims, decode_body(body or b"{}", SubmitRequest))

    def _check_plain(self, headers: Mapping[bytes, str], peer: Peer) -> None:
        plain = headers.get(b"content-type") == JSON and b"origin" not in headers
        known = peer.local or host_allowed(headers.get(b"host", ""), self._names)
        # The fence has seen to it that it is a number, of not too many digits.
        length = int(headers.get(b"content-length", 0))
        if not (plain and known and 0 < length <= self._settings.limits.max_body):
            raise _NotPlain

    async def _answer(self, run: Run, send: ASGISendCallable, *, created: bool) -> None:
        body = msgspec.json.encode(show_run(run, self._supervisor.log_info(run)))
        headers = [*self._headers, (b"content-length", b"%d" % len(body))]
        if created:
            headers.append((b"location", f"{self._settings.base_path}/runs/{run.id}".encode()))
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class _NotPlain(Exception):
    """Not for here."""


async def _hear(heard: list[ASGIReceiveEvent], receive: ASGIReceiveCallable) -> bytes:
    """The whole body; everything that came goes into `heard`."""
    parts = []
    while True:
        message = await receive()
        heard.append(message)
        if message["type"] != "http.request":
            raise _NotPlain
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


def _again(heard: list[ASGIReceiveEvent], receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
    """What was heard once more, then what comes."""
    left = iter(heard)

    async def next_message() -> ASGIReceiveEvent:
        for message in left:
            return message
        return await receive()

    return next_message
