"""One WebSocket's frames: Hypercorn's, except that whoever breaks the rules is told which.

Hypercorn drops the connection of a client that sends what RFC 6455 does not allow, and goes on
after a message too long. Section 7.1.7 has the connection failed, with a close frame that says why:
1002 for what is no frame, 1007 for text that is not UTF-8, 1009 for a message too long.
"""

from __future__ import annotations

from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.ws_stream import FrameTooLargeError, WSStream
from hypercorn.typing import WebsocketAcceptEvent
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Event, Message, Ping
from wsproto.frame_protocol import CloseReason


class WebSocketStream(WSStream):
    """A WebSocket, from its handshake to its close."""

    is_open = False
    """Whether messages can be sent: the handshake is over, and nobody has begun to close."""

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        await super()._accept(message)
        self.is_open = self.connection.state is ConnectionState.OPEN

    async def _send_wsproto_event(self, event: Event) -> None:
        if isinstance(event, CloseConnection):
            self.is_open = False
        await super()._send_wsproto_event(event)

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    await self._end(CloseConnection(code=CloseReason.MESSAGE_TOO_BIG))
                    return
                if event.message_finished:
                    await self._hear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                self.is_open = False
                closing = self.connection.state is ConnectionState.REMOTE_CLOSING
                # A client that did not close broke the rules; the event tells how.
                await self._end(event.response() if closing else event)
                return

    async def _hear(self) -> None:
        """Hand a whole message to the application."""
        message = self.buffer.to_message()
        self.buffer.clear()
        if self.app_put is not None:
            await self.app_put(message)

    async def _end(self, farewell: CloseConnection) -> None:
        """Close with `farewell`, unless we have closed already, and let the application go."""
        await self._send_wsproto_event(farewell)
        await self.send(StreamClosed(stream_id=self.stream_id))
