"""What a conversation goes over: a WebSocket, or anything that takes and brings messages like one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quart import Websocket

from supervisor.frames import BINARY
from web.door import connection_of, peer_of
from web.fence.peer import Peer

JSON = "runwire.json"
SUBPROTOCOLS = (BINARY, JSON)


class Line(Protocol):
    """One client's. Cancelled when that client is gone."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on; None for a client that offered none."""

    async def receive(self) -> str | bytes:
        """What the client says next. Raises BadRequest for what makes no sense."""

    async def send(self, message: str | bytes) -> None:
        """Say one message, as soon as the client takes it."""

    async def close(self, code: int, reason: str = "") -> None:
        """End it politely; `code` is one of those in docs/protocol.md."""

    def abort(self) -> None:
        """End it now, throwing away what the client has not taken."""


class WebSocketLine:
    """A WebSocket that was accepted."""

    def __init__(self, websocket: Websocket) -> None:
        """See Line for what can be done with it."""
        self.peer = peer_of(websocket)
        self.subprotocol = choose_subprotocol(websocket.requested_subprotocols)
        self.receive = websocket.receive
        self.send = websocket.send
        self.close = websocket.close
        self.abort = connection_of(websocket).abort


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """The first of ours that the client offers, None if it offers none of them."""
    return next((name for name in offered if name in SUBPROTOCOLS), None)
