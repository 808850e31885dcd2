"""The application: the table of endpoints behind one door, and every error as a problem."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from supervisor.access.claims import Claims
from supervisor.config.settings import WebSettings
from supervisor.errors import RangeNotSatisfiable, RunwireError, Unauthenticated, Unavailable
from supervisor.service import Supervisor
from web.api.call import Call
from web.api.endpoints import ROUTES
from web.api.openapi import with_document
from web.api.route import Route
from web.auth.auth import NOBODY, Auth, bearer_token
from web.cors import Cors
from web.door import asking_request, check_host, own_names, peer_of
from web.fence.peer import Peer
from web.pages import Pages
from web.problems import HttpProblem, plain_problem, problem_of, problem_response
from web.shortcut import Asgi, Shortcut
from web.shutdown import Shutdown
from web.socketio.late import LateSocketIo
from web.streams.websockets import Streams

log = logging.getLogger("runwire.web")

_RETRY_AFTER_S = 5
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "no-store",
}
_DETAILS = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not have this method",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is larger than this server takes",
    HTTPStatus.REQUEST_TIMEOUT: "the body did not come in time",
}


@asynccontextmanager
async def open_app(
    supervisor: Supervisor, settings: WebSettings, auth: Auth, shutdown: Shutdown
) -> AsyncIterator[QuartTrio]:
    """The ASGI application for `fence.serve_web`; streams end when `shutdown` is set.

    What lasts longer than one connection is cut off at the end of the context.
    """
    async with trio.open_nursery() as nursery:
        door = LateSocketIo(supervisor, settings, auth, shutdown, nursery)
        streams = Streams(supervisor, settings, auth, shutdown)
        yield _make_app(supervisor, settings, auth, streams, door)
        nursery.cancel_scope.cancel()


def _make_app(
    supervisor: Supervisor,
    settings: WebSettings,
    auth: Auth,
    streams: Streams,
    socket_io: LateSocketIo,
) -> QuartTrio:
    app = QuartTrio("runwire", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.limits.max_body
    app.config["BODY_TIMEOUT"] = settings.limits.idle_timeout_s
    # A followed log is an answer that takes as long as its run; the fence bounds each write.
    app.config["RESPONSE_TIMEOUT"] = None
    app.url_map.merge_slashes = False
    door = _Door(supervisor, settings, auth)
    app.add_websocket("/runs/<run_id>/stream", "stream", streams.one)
    app.add_websocket("/runs", "stream by query", streams.one)
    app.add_websocket("/events", "events", streams.all)
    app.extensions["socket.io"] = socket_io
    app.add_websocket("/runs/", "socket.io", socket_io.websocket)
    app.add_url_rule("/runs/", "socket.io polling", socket_io.http, methods=["GET", "POST"])
    for route in with_document(ROUTES, settings.base_path):
        app.add_url_rule(
            route.path.replace("{", "<").replace("}", ">"),
            endpoint=f"{route.method} {route.path}",
            view_func=functools.partial(door.serve, route),
            methods=[route.method],
        )
    Pages(settings.base_path).add_to(app)
    cors = Cors(settings.cors_origins)
    app.before_request(door.check_host)
    app.before_request(cors.answer_preflight)
    app.after_request(_add_headers)
    app.after_request(cors.add_headers)
    app.register_error_handler(RunwireError, _on_error)
    app.register_error_handler(HttpProblem, _on_http_problem)
    app.register_error_handler(HTTPException, _on_http_exception)
    app.register_error_handler(Exception, _on_bug)
    app.asgi_app = Shortcut(app.asgi_app, supervisor, settings, auth, _HEADERS)  # type: ignore[method-assign]
    if settings.base_path:
        app.asgi_app = _without_base(app.asgi_app, settings.base_path)  # type: ignore[assignment, method-assign]
    return app


class _Door:
    """What every request passes before its handler."""

    def __init__(self, supervisor: Supervisor, settings: WebSettings, auth: Auth) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._auth = auth
        self._names = own_names(settings)

    async def check_host(self) -> None:
        """Raise HttpProblem 421 for a request that was meant for another name than ours."""
        check_host(asking_request(), self._names)

    async def serve(self, route: Route, **parameters: str) -> Response:
        """Let the caller in if they may, and have the route's handler answer."""
        claims = await self._claims() if route.scopes else NOBODY
        if route.scopes and not any(claims.allows(scope) for scope in route.scopes):
            claims.require(route.scopes[0])
        call = Call(asking_request(), claims, self._supervisor, self._settings, self._auth)
        return await route.handler(call, *parameters.values())

    async def _claims(self) -> Claims:
        token = bearer_token(request.headers.get("Authorization"))
        return await self._auth.claims_of(_peer(), token)


def _peer() -> Peer:
    return peer_of(request)


async def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


# --- errors --------------------------------------------------------------------------------------


async def _on_error(error: RunwireError) -> Response:
    asked = websocket if has_websocket_context() else request
    response = problem_response(problem_of(error))
    if isinstance(error, Unauthenticated):
        given = "Authorization" in asked.headers
        response.headers["WWW-Authenticate"] = 'Bearer realm="runwire"' + (
            ', error="invalid_token"' if given else ""
        )
    elif isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(_RETRY_AFTER_S)
    elif isinstance(error, RangeNotSatisfiable):
        response.headers["Content-Range"] = f"bytes */{error.size}"
    elif response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s failed", asked.method, asked.path, exc_info=error)
    return response


async def _on_http_problem(error: HttpProblem) -> Response:
    response = problem_response(plain_problem(error.status, error.detail))
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return response


async def _on_http_exception(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    response = problem_response(plain_problem(status, _DETAILS.get(status, "")))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


async def _on_bug(error: Exception) -> Response:
    asked = websocket if has_websocket_context() else request
    log.error("%s %s failed", asked.method, asked.path, exc_info=error)
    return problem_response(plain_problem(HTTPStatus.INTERNAL_SERVER_ERROR))


# --- under a path of another server --------------------------------------------------------------


def _without_base(app: Asgi, base: str) -> Asgi:
    """`app` with `base` taken off every path; a proxy may have taken it off already."""

    async def call(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "lifespan":
            path = scope["path"]
            if path == base or path.startswith(f"{base}/"):
                scope["path"] = path[len(base) :] or "/"
        await app(scope, receive, send)

    return call
