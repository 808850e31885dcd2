"""What every request and every WebSocket handshake is asked at the door."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Any, cast

from quart import Request, Websocket, request, websocket

from supervisor.config.settings import WebSettings
from web.fence.connection import Connection
from web.fence.peer import Peer
from web.hosts import host_allowed, origin_allowed
from web.problems import HttpProblem

_FOREIGN = frozenset({"cross-site", "same-site"})
"""What browsers say of requests by pages of other origins (Fetch Metadata)."""


def peer_of(asked: Request | Websocket) -> Peer:
    """Who is at the other end, as the fence found out."""
    peer = asked.scope["state"]["peer"]
    assert isinstance(peer, Peer)  # noqa: S101 - the fence put it there
    return peer


def connection_of(websocket: Websocket) -> Connection:
    """The connection that a WebSocket has to itself."""
    connection = websocket.scope["state"]["connection"]
    assert isinstance(connection, Connection)  # noqa: S101 - it put itself there
    return connection


def own_names(settings: WebSettings) -> frozenset[str]:
    """The host names by which the server may be called, besides those of this machine."""
    return frozenset(name.lower() for name in (*settings.hosts, settings.bind.host))


def asking_request() -> Request:
    """The request that is being answered."""
    asked = cast(Any, request)._get_current_object()  # noqa: SLF001 - how to leave the proxy
    return cast(Request, asked)


def asking_websocket() -> Websocket:
    """The WebSocket that is being served."""
    asked = cast(Any, websocket)._get_current_object()  # noqa: SLF001 - how to leave the proxy
    return cast(Websocket, asked)


def check_host(asked: Request | Websocket, names: Collection[str]) -> None:
    """Raise HttpProblem 421 for what was meant for another name than ours."""
    host = asked.headers.get("Host", "")
    if not peer_of(asked).local and not host_allowed(host, names):
        raise HttpProblem(
            HTTPStatus.MISDIRECTED_REQUEST,
            f'this server is not called "{host}"; [web] hosts in jobs.toml can allow the name',
        )


def check_origin(asked: Request | Websocket, origins: Collection[str]) -> None:
    """Raise HttpProblem 403 for a page of a site that is neither our own nor in `origins`."""
    origin = asked.headers.get("Origin")
    if origin is None:
        # Such as for an image: a page cannot read the answer, but its question would count.
        foreign = asked.headers.get("Sec-Fetch-Site") in _FOREIGN
    else:
        foreign = not origin_allowed(origin, asked.headers.get("Host", ""), origins)
    if foreign:
        whose = "other sites" if origin is None else f'"{origin}"'
        raise HttpProblem(
            HTTPStatus.FORBIDDEN,
            f"pages of {whose} may not connect to this server; "
            "[web] cors_origins in jobs.toml can allow them",
        )
