"""What a conversation goes over: a WebSocket, or anything that takes and brings messages like one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quart import Websocket

from supervisor.frames import BINARY
from web.door import connection_of, peer_of
from web.fence.peer import Peer
from web.streams.message import Message

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

    @property
    def untaken(self) -> int:
        """Bytes of what was said that the client has not taken yet, as far as that is known."""

    async def receive(self) -> str | bytes:
        """What the client says next. Raises BadRequest for what makes no sense."""

    async def send(self, message: Message) -> None:
        """Say one message, as soon as the client takes it."""

    def send_now(self, message: Message) -> bool:
        """Say one message, if that can be done without waiting; whether it was."""

    async def close(self, code: int, reason: str = "") -> None:
        """End it politely; `code` is one of those in docs/protocol.md."""

    def abort(self) -> None:
        """End it now, throwing away what the client has not taken."""


class WebSocketLine:
    """A WebSocket that was accepted.

    Frames are made here, once for all who are told the same, and handed to the connection, past
    the layers that would make them anew for each.
    """

    def __init__(self, websocket: Websocket) -> None:
        """See Line for what can be done with it."""
        connection = connection_of(websocket)
        self.peer = peer_of(websocket)
        self.subprotocol = choose_subprotocol(websocket.requested_subprotocols)
        self.receive = websocket.receive
        self.close = websocket.close
        self.abort = connection.abort
        self._connection = connection

    @property
    def untaken(self) -> int:
        """See Line."""
        return self._connection.untaken

    async def send(self, message: Message) -> None:
        """See Line. Nothing is sent once the closing has begun."""
        await self._connection.send_frame(message.frame)

    def send_now(self, message: Message) -> bool:
        """See Line."""
        return self._connection.send_frame_now(message.frame)


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """The first of ours that the client offers, None if it offers none of them."""
    return next((name for name in offered if name in SUBPROTOCOLS), None)
