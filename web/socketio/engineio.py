"""One Engine.IO connection on the server's side, whatever transport carries it at the moment.

What is said to the client waits here until a transport takes it: an HTTP request that was waiting
for it, or a WebSocket. At most one batch waits, and whoever has more to say is held back. A client
that takes nothing for too long, and does not answer a ping, is gone.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import trio

from supervisor.errors import BadRequest
from supervisor.pulse import Pulse
from supervisor.units import KIB
from web.socketio.packets import MAX_PAYLOAD_BYTES, Handshake, Kind, Packet, open_packet

PING_INTERVAL_S = 25.0
PING_TIMEOUT_S = 20.0
LAST_WORDS_S = 5.0
"""How long a client may let what is left lie there when everything has been said."""

_BATCH_CHARS = 256 * KIB
_PROBED_POLL_S = 0.05
"""While a client changes to a WebSocket, it waits for the end of its poll."""
_SID_BYTES = 18


class Session:
    """See the module. Made by the first request; lives as long as `run`."""

    def __init__(self, *, websocket: bool) -> None:
        """`websocket` says which transport the client begins with."""
        self.sid = secrets.token_urlsafe(_SID_BYTES)
        self.websocket = websocket
        """Whether a WebSocket carries it; it never goes back to polling."""
        self.probed = False
        """Whether a WebSocket is there already and the client has not changed over to it."""
        self.over = False
        """Whether nothing more can be said or heard."""
        self._to_say: deque[Packet] = deque()
        self._size = 0
        self._changed = Pulse()
        self._heard, self._inbox = trio.open_memory_channel[str](0)
        self._scope = trio.CancelScope()
        self._polled = False
        self._on_the_way = 0
        self._delivered = 0
        self._answered = trio.Event()
        self._put(open_packet(self._handshake()))

    def _handshake(self) -> Handshake:
        return Handshake(
            sid=self.sid,
            upgrades=() if self.websocket else ("websocket",),
            ping_interval=int(PING_INTERVAL_S * 1000),
            ping_timeout=int(PING_TIMEOUT_S * 1000),
            max_payload=MAX_PAYLOAD_BYTES,
        )

    async def run(self, talk: Callable[[Session], Awaitable[None]]) -> None:
        """Have `talk` say and hear everything; return when the client has it all or is gone."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_alive)
                    await talk(self)
                    self._put(Packet(Kind.CLOSE))
                    await self._wait_all_delivered()
                    nursery.cancel_scope.cancel()
        finally:
            self.over = True
            self._inbox.close()
            self._to_say.clear()
            self._changed.fire()

    def close(self) -> None:
        """The client is gone, or nobody wants to hear it: end `run`."""
        self._scope.cancel()

    # --- for who talks ---------------------------------------------------------------------------

    async def say(self, message: str) -> None:
        """Give `message` to the transport, as soon as there is room for it."""
        await trio.lowlevel.checkpoint()
        while self._size >= _BATCH_CHARS:
            await self._changed.wait()
        self._put(Packet(Kind.MESSAGE, message))

    async def listen(self) -> str:
        """The next message from the client."""
        return await self._inbox.receive()

    def _put(self, packet: Packet) -> None:
        self._to_say.append(packet)
        self._size += len(packet.data)
        self._changed.fire()

    async def _wait_all_delivered(self) -> None:
        """Return when the client has everything, or lets it lie there."""
        while self._to_say or self._on_the_way:
            with trio.move_on_after(LAST_WORDS_S) as patience:
                await self._changed.wait()
            # What is on its way is bounded by its connection, which looks for progress.
            if patience.cancelled_caught and not self._on_the_way:
                return

    # --- for transports --------------------------------------------------------------------------

    async def hear(self, packet: Packet) -> None:
        """The client said `packet`. Raises BadRequest for what it may not say now."""
        match packet.kind:
            case Kind.MESSAGE:
                with suppress(trio.BrokenResourceError):
                    await self._heard.send(packet.data)
            case Kind.PONG:
                self._answered.set()
            case Kind.CLOSE:
                self.close()
            case _:
                raise BadRequest("this packet makes no sense here")

    async def take(self) -> Packet | None:
        """The next packet, as soon as there is one; None if there will be no more."""
        await trio.lowlevel.checkpoint()
        while not self._to_say:
            if self.over:
                return None
            await self._changed.wait()
        return self._took(self._to_say.popleft())

    async def poll(self) -> list[Packet]:
        """All packets there are, as soon as there is one.

        Raises BadRequest if another poll is waiting already.
        """
        if self._polled:
            raise BadRequest("another request waits for this connection's packets already")
        self._polled = True
        try:
            while not (self._to_say or self.over or self.probed or self.websocket):
                await self._changed.wait()
            if self.probed and not self._to_say:
                await trio.sleep(_PROBED_POLL_S)
        finally:
            self._polled = False
        if self.websocket or not self._to_say:
            return [Packet(Kind.NOOP)]
        return [self._took(self._to_say.popleft()) for _ in range(self._until_close())]

    def _until_close(self) -> int:
        """How many packets there are that one answer may hold.

        A client deals with an answer's messages later than with a CLOSE beside them, and would
        take them for ones of its next connection.
        """
        last = self._to_say[-1].kind is Kind.CLOSE
        return len(self._to_say) - 1 if last and len(self._to_say) > 1 else len(self._to_say)

    def _took(self, packet: Packet) -> Packet:
        self._size -= len(packet.data)
        self._changed.fire()
        return packet

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """While what was taken is on its way. If it does not get there, the connection is over."""
        self._on_the_way += 1
        try:
            yield
        except BaseException:
            self.close()
            raise
        finally:
            self._on_the_way -= 1
            self._delivered += 1
            self._changed.fire()

    @contextmanager
    def probing(self) -> Iterator[None]:
        """While the client tries a WebSocket."""
        self.probed = True
        self._changed.fire()
        try:
            yield
        finally:
            self.probed = False
            self._changed.fire()

    # --- is the client still there? --------------------------------------------------------------

    async def _keep_alive(self) -> None:
        while True:
            await trio.sleep(PING_INTERVAL_S)
            self._answered = trio.Event()
            # Before what waits already: a slow client must see it in time.
            self._to_say.appendleft(Packet(Kind.PING))
            self._changed.fire()
            await self._wait_answered()

    async def _wait_answered(self) -> None:
        """Return when the client answered; close when it neither did nor took anything."""
        while True:
            delivered = self._delivered
            with trio.move_on_after(PING_TIMEOUT_S):
                await self._answered.wait()
                return
            # What is on its way is bounded by its connection, which looks for progress.
            if not self._on_the_way and self._delivered == delivered:
                self.close()
