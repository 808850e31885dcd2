"""The fence: accepts connections and keeps each from harming the server or another.

Hypercorn's own `serve()` is not used. There, an exception in one connection ends the process, a
client that stops reading makes shutdown wait for ever, and HTTP/2 is always on. Here Hypercorn
speaks HTTP (`http1`), and everything around it is ours: accepting, bounds (`connection`), the wall
around each connection (`firewall`), and a shutdown that takes no longer than it is given.
"""

from __future__ import annotations

import functools
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

import trio
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.typing import ASGIFramework, ResponseSummary, WWWScope

from supervisor.config.settings import WebLimits
from supervisor.units import KIB
from web.fence.connection import Connection
from web.fence.firewall import firewall
from web.fence.listen import close_all
from web.fence.peer import Peer, peer_of
from web.problems import PROBLEM_TYPE, encode_problem, plain_problem

log = logging.getLogger("runwire.web")
access_log = logging.getLogger("runwire.access")

_TURN_AWAY_S = 0.2
_SHUTDOWN_S = 2.0
"""How long answers under way may go on when the server shuts down.

A WebSocket first tells what there is, then ends the message under way, and then says farewell
(`conversation`).
"""
_MESSAGE_BYTES = 64 * KIB
"""The longest message a WebSocket client may send."""


async def serve_web(
    app: ASGIFramework,
    sockets: Sequence[socket.socket],
    limits: WebLimits,
    shutdown: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on listening `sockets` (see `listen`) until `shutdown`, then close them.

    Reports `started` when connections are accepted. After `shutdown` no more are; idle ones are
    closed, the others have two seconds to finish, then they are cut.
    """
    fence = _Fence(app, limits)
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in sockets]
    try:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    functools.partial(
                        trio.serve_listeners,
                        fence.admit,
                        listeners,
                        handler_nursery=connections,
                    )
                )
                task_status.started()
                await shutdown.wait()
                accepting.cancel_scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + _SHUTDOWN_S
            fence.wind_down()
    finally:
        close_all(sockets)


class _Fence:
    """All connections of one server."""

    def __init__(self, app: ASGIFramework, limits: WebLimits) -> None:
        self._app = app
        self._limits = limits
        self._config = _hypercorn_config(limits)
        self._live: set[Connection] = set()
        self._of_peer: Counter[str] = Counter()
        self._doors: Counter[bool] = Counter()
        self._closing = False

    async def admit(self, stream: trio.SocketStream) -> None:
        """One connection, from accept to close, whatever it does."""
        try:
            peer = peer_of(stream.socket)
        except OSError:
            stream.socket.close()
            return
        if self._closing or not self._has_room(peer):
            await _turn_away(stream)
            return
        self._of_peer[peer.key] += 1
        self._doors[peer.local] += 1
        try:
            with firewall(f"connection of {peer}"):
                await self._serve(stream, peer)
        finally:
            self._doors[peer.local] -= 1
            self._of_peer[peer.key] -= 1
            if not self._of_peer[peer.key]:
                del self._of_peer[peer.key]

    async def _serve(self, stream: trio.SocketStream, peer: Peer) -> None:
        connection = Connection(self._app, self._config, stream, peer, self._limits)
        self._live.add(connection)
        try:
            await connection.serve()
        finally:
            self._live.discard(connection)

    def _has_room(self, peer: Peer) -> bool:
        return (
            self._doors[peer.local] < self._limits.max_connections
            and self._of_peer[peer.key] < self._limits.max_connections_per_address
        )

    def wind_down(self) -> None:
        """Let every connection end after what it is doing."""
        self._closing = True
        for connection in self._live:
            connection.wind_down()


async def _turn_away(stream: trio.SocketStream) -> None:
    """Say 429 to one connection too many, as far as that costs nothing."""
    status = HTTPStatus.TOO_MANY_REQUESTS
    body = encode_problem(plain_problem(status, "there are too many connections"))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {PROBLEM_TYPE}\r\n"
        f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    )
    with stream.socket as sock, trio.move_on_after(_TURN_AWAY_S), firewall("too many connections"):
        await sock.send(head.encode() + body)
        sock.shutdown(socket.SHUT_WR)
        # Closed with its request unread, it would be reset before it reads the answer.
        await sock.recv(64 * 1024)


class _HypercornLog(Logger):
    """Where Hypercorn reports to: our own loggers, and no query string, which may hold a token."""

    def __init__(self, config: Config) -> None:  # noqa: ARG002 - its signature
        self.error_logger = log
        self.access_logger = None

    async def access(
        self, request: WWWScope, response: ResponseSummary | None, request_time: float
    ) -> None:
        if not access_log.isEnabledFor(logging.INFO):
            return
        access_log.info(
            "%s %s %s %s %.1f ms",
            request["state"]["peer"],
            request.get("method", "WEBSOCKET"),
            # As it was sent, still quoted: a path cannot start a line of its own.
            request["raw_path"].decode("ascii", "backslashreplace"),
            response["status"] if response else "cut",
            request_time * 1000,
        )


def _hypercorn_config(limits: WebLimits) -> Config:
    config = Config()
    config.logger_class = _HypercornLog
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.max_headers
    config.keep_alive_max_requests = 100_000
    config.websocket_max_message_size = _MESSAGE_BYTES
    return config
