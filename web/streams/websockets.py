"""The door of the WebSockets: who may come in, and what becomes of a conversation that fails.

What can be refused is refused before the handshake, with plain HTTP; after it, the close code
says what HTTP would have said. A browser cannot set headers and does not see why a handshake
failed, so one that brings no token is let in to bring it in its first message.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct
from quart import Websocket

from supervisor.access.claims import Claims, Scope
from supervisor.config.settings import WebSettings
from supervisor.service import Supervisor
from web.api.call import check_run_id, decode_query
from web.auth.auth import Auth, bearer_token
from web.door import asking_websocket, check_host, check_origin, own_names, peer_of
from web.shutdown import Shutdown
from web.streams.batches import Batches
from web.streams.conversation import WRONG_SUBPROTOCOL, Conversation
from web.streams.feed import FeedQuery, stream_events
from web.streams.line import WebSocketLine, choose_subprotocol
from web.streams.stream import StreamQuery, may_watch, read_wish, stream_run

Q = TypeVar("Q", bound=Struct)

_log = logging.getLogger("runwire.web")


class Streams:
    """All WebSocket endpoints of an application."""

    def __init__(
        self,
        supervisor: Supervisor,
        settings: WebSettings,
        auth: Auth,
        shutdown: Shutdown,
    ) -> None:
        """Conversations end when `shutdown` is set."""
        self._supervisor = supervisor
        self._names = own_names(settings)
        self._origins = settings.cors_origins
        self._auth = auth
        self._shutdown = shutdown
        self._batches = Batches()

    async def one(self, run_id: str | None = None) -> None:
        """One run's stream, by path or by `runId`."""
        socket = self._socket()
        query = _query(socket, StreamQuery)
        wish = read_wish(query)
        wanted = check_run_id(run_id or query.run_id or "")
        claims = await self._claims(socket, query.token, stream_of=wanted)
        if claims is not None:
            may_watch(claims, await self._supervisor.get(wanted))
        await self._converse(
            socket,
            claims,
            lambda conversation: stream_run(
                conversation, self._supervisor, wanted, wish, self._batches
            ),
        )

    async def all(self) -> None:
        """The feed of all runs."""
        socket = self._socket()
        query = _query(socket, FeedQuery)
        claims = await self._claims(socket, query.token)
        if claims is not None:
            claims.require(Scope.RUNS_READ)
        await self._converse(
            socket,
            claims,
            lambda conversation: stream_events(conversation, self._supervisor, query),
        )

    def _socket(self) -> Websocket:
        """The connection that is asking. Raises HttpProblem if it is a page of another site."""
        socket = asking_websocket()
        check_host(socket, self._names)
        check_origin(socket, self._origins)
        return socket

    async def _claims(
        self, socket: Websocket, token: str | None, *, stream_of: str | None = None
    ) -> Claims | None:
        """Who is asking, None if it has still to be said. Raises Denied."""
        header = bearer_token(socket.headers.get("Authorization"))
        given = token if header is None else header
        peer = peer_of(socket)
        if given is None and not peer.local:
            return None
        return await self._auth.claims_of(
            peer, given, stream_of=stream_of, in_url=given is not None and header is None
        )

    async def _converse(
        self,
        socket: Websocket,
        claims: Claims | None,
        talk: Callable[[Conversation], Awaitable[None]],
    ) -> None:
        offered = socket.requested_subprotocols
        subprotocol = choose_subprotocol(offered)
        await socket.accept(subprotocol=subprotocol)
        if offered and subprotocol is None:
            await socket.close(WRONG_SUBPROTOCOL, "no subprotocol in common")
            return
        conversation = Conversation(WebSocketLine(socket), self._auth, claims, self._shutdown)
        try:
            await conversation.hold(talk)
        except Exception:  # noqa: BLE001 - a bug in one conversation is no reason to end another
            _log.exception("%s failed", socket.path)
            await conversation.close_after_bug()


def _query(socket: Websocket, kind: type[Q]) -> Q:
    return decode_query(socket.args.to_dict(flat=False), kind)
