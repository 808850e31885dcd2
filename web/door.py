"""What every request and every WebSocket handshake is asked at the door."""

from __future__ import annotations

from http import HTTPStatus

from quart import Request, Websocket

from supervisor.config import WebSettings
from web.connection import Connection
from web.peer import Peer
from web.problems import HttpProblem


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


def wrong_host(host: str) -> HttpProblem:
    """The answer to a request that was meant for another name than ours."""
    return HttpProblem(
        HTTPStatus.MISDIRECTED_REQUEST,
        f'this server is not called "{host}"; [web] hosts in jobs.toml can allow the name',
    )
