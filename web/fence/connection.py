"""One client's connection, from accept to close.

One task reads for as long as the connection lives, so that a client that goes away is noticed
whatever the application does; the application's answers are written by its own tasks. Everything
of the connection is in one nursery: when reading ends, or a write fails, all of it is cancelled,
so that an application that goes on sending to nobody is stopped instead of spinning.

What bounds it: the time to send a request's head, the time between requests, and the time in
which a client takes nothing of what it is being sent. A client that is slow but moving is fine.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveEvent,
    ASGISendEvent,
    ConnectionState,
    Scope,
)

from supervisor.config.settings import WebLimits
from supervisor.errors import Stalled
from supervisor.pulse import Pulse
from web.fence.firewall import firewall
from web.fence.http1 import Http1
from web.fence.peer import Peer

_READ_SIZE = 64 * 1024
# A client may send its next request early, but not without end.
_MAX_AHEAD = 256 * 1024
_UNSENT_BYTES = 1024 * 1024
"""How much the kernel takes that it cannot send yet. Trio sets 16 KiB: many steps a message."""
_EVENTS_QUEUED = 10
_FINISH_S = 0.05
"""How long an answer may go on when its client has closed: it may just have read all of it."""
_LINGER_S = 1.0
"""How long a client has to close its end after we closed ours."""


class Connection:
    """A connection being served. Made, then `await serve()`; `wind_down` ends it politely."""

    def __init__(
        self,
        app: ASGIFramework,
        config: Config,
        stream: trio.SocketStream,
        peer: Peer,
        limits: WebLimits,
    ) -> None:
        """`app` finds `peer` in its `scope["state"]["peer"]`."""
        self.peer = peer
        self._app = app
        self._config = config
        self._socket = stream.socket
        self._fd = stream.socket.fileno()
        self._limits = limits
        self._send_lock = trio.Lock()
        self._all = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._deadline = math.inf
        self._resume = False
        self._closing = False
        self._ended = Pulse()
        self._protocol: Http1
        self._nursery: trio.Nursery
        self._rest = b""
        """What is left of a frame that was sent without waiting."""

    async def serve(self) -> None:
        """Answer requests until either side has had enough. Closes the socket."""
        _tune(self._socket)
        try:
            with self._all:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self._protocol = self._speak(nursery)
                    await self._read()
                    await self._protocol.handle(Closed())
                    nursery.cancel_scope.cancel()
        finally:
            self._fd = -1  # it may soon be another's
            self._socket.close()

    def wind_down(self) -> None:
        """Close at once if nothing is being answered, else after the answer."""
        if self._protocol.busy:
            self._protocol.finish_soon()
        else:
            self._all.cancel()

    def _speak(self, nursery: trio.Nursery) -> Http1:
        tcp = not self.peer.local
        return Http1(
            self._app,  # type: ignore[arg-type] # only handed on to AppTasks
            self._config,
            WorkerContext(None),
            AppTasks(nursery),  # type: ignore[arg-type] # the two methods that are called
            ConnectionState({"peer": self.peer, "connection": self}),
            False,  # noqa: FBT003 - no TLS
            (self.peer.address or "", self.peer.port or 0) if tcp else None,
            self._socket.getsockname()[:2] if tcp else None,
            self._handle,
        )

    # --- reading ---------------------------------------------------------------------------------

    async def _read(self) -> None:
        self._deadline = trio.current_time() + self._limits.header_timeout_s
        while True:
            if self._resume:
                self._resume = False
                if not self._closing:
                    await self._protocol.proceed()
                continue
            data = await self._receive()
            if data is None and self._resume:
                continue
            if not data:
                await self._let_finish()
                return
            if not self._closing:
                await self._take(data)

    async def _let_finish(self) -> None:
        """Give an answer that the client has whole already the moment it takes to end properly."""
        with trio.move_on_after(_FINISH_S):
            while self._protocol.busy:
                await self._ended.wait()

    async def _take(self, data: bytes) -> None:
        await self._protocol.handle(RawData(data))
        if self._protocol.mid_request:
            self._deadline = min(
                self._deadline, trio.current_time() + self._limits.header_timeout_s
            )
        elif self._protocol.busy and self._protocol.ahead > _MAX_AHEAD:
            self.abort()

    async def _receive(self) -> bytes | None:
        """The next bytes, b"" at the end, None if woken or out of patience."""
        with trio.CancelScope(deadline=self._deadline) as self._reading:
            try:
                return await self._socket.recv(_READ_SIZE)
            except OSError:
                return b""
        return None

    def _wait_until(self, deadline: float) -> None:
        """Have the reader give up at `deadline`, and take up what has come before its turn."""
        self._deadline = self._reading.deadline = deadline
        if self._protocol.ahead:
            self._resume = True
            self._reading.cancel()
        self._ended.fire()

    # --- what the protocol says ------------------------------------------------------------------

    async def _handle(self, event: Event) -> None:
        match event:
            case RawData():
                await self._send(event.data)
            case Updated(idle=True):
                self._wait_until(trio.current_time() + self._limits.idle_timeout_s)
            case Updated():
                self._deadline = math.inf
            case Closed():
                self._hang_up()

    def _hang_up(self) -> None:
        """Say that no more will come, and let the client read what it was sent.

        Closing outright while it is still sending would make the kernel throw that away.
        """
        if self._closing:
            return
        self._closing = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._all.cancel()
        self._wait_until(trio.current_time() + _LINGER_S)

    # --- writing ---------------------------------------------------------------------------------

    async def send_frame(self, frame: bytes) -> None:
        """Send a whole WebSocket frame, if the WebSocket is open; else do nothing.

        Not a checkpoint if the kernel takes all of it at once.
        """
        sent = self._send_at_once(frame) if self._may_begin_frame() else 0
        if sent == len(frame):
            return
        try:
            self._send_lock.acquire_nowait()
        except trio.WouldBlock:
            # In the middle of another frame nothing else can be said, not even a ping.
            await self._send_lock.acquire()
        try:
            if sent:
                await self._send_rest(frame, sent, begun=True)
            elif self._protocol.websocket_open:
                await self._send_locked(frame)
        finally:
            self._send_lock.release()

    def send_frame_now(self, frame: bytes) -> bool:
        """Send a whole WebSocket frame if the kernel takes it now; whether it is on its way.

        If the kernel takes a part, the rest goes before all else that is sent.
        """
        if not self._may_begin_frame() or not (sent := self._send_at_once(frame)):
            return False
        if sent < len(frame):
            self._rest = frame[sent:]
            self._nursery.start_soon(self._send, b"")
        return True

    def _may_begin_frame(self) -> bool:
        return not self._rest and not self._send_lock.locked() and self._protocol.websocket_open

    @property
    def untaken(self) -> int:
        """Bytes that were sent and that the client has not taken, as far as the kernel knows."""
        return 0 if self._fd < 0 else len(self._rest) + _unsent(self._socket)

    async def _send(self, data: bytes) -> None:
        async with self._send_lock:
            await self._send_locked(data)

    async def _send_locked(self, data: bytes) -> None:
        begun = bool(self._rest)
        if begun:
            data, self._rest = self._rest + data, b""
        sent = self._send_at_once(data)
        if sent < len(data):
            await self._send_rest(data, sent, begun=begun)

    def _send_at_once(self, data: bytes) -> int:
        """How much the kernel takes without waiting."""
        try:
            # Not by the socket of Trio: that gives way to all others before each call.
            return os.write(self._fd, data)
        except OSError:
            return 0  # Sending the rest finds out.

    async def _send_rest(self, data: bytes, sent: int, *, begun: bool) -> None:
        left = memoryview(data)[sent:]
        try:
            while left:
                left = left[await self._send_some(left) :]
        except (OSError, Stalled):
            self.abort()
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            # Half of something was sent: nothing that follows could be understood.
            if begun or len(left) < len(data):
                self.abort()
            raise

    async def _send_some(self, left: memoryview) -> int:
        """Send what the kernel takes. Raises Stalled if that is nothing for too long."""
        while True:
            waiting = _unsent(self._socket)
            with trio.move_on_after(self._limits.send_timeout_s):
                return await self._socket.send(left)
            if _unsent(self._socket) >= waiting:
                raise Stalled("the client took nothing for too long")

    def abort(self) -> None:
        """End the connection now, throwing away what the client has not taken."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._all.cancel()


def _tune(sock: trio.socket.SocketType) -> None:
    """Have the kernel take whole messages, and find out about a peer that vanished (tcp(7))."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _unsent(sock: trio.socket.SocketType) -> int:
    """Bytes that the kernel holds and the client has not taken (SIOCOUTQ, tcp(7))."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


class AppTasks:
    """The application's tasks of one connection: what Hypercorn calls a task group.

    Telling the application that its client is gone never waits, and an application that does not
    listen is cancelled instead.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        """The tasks are started in `nursery`."""
        self._nursery = nursery

    async def spawn_app(
        self,
        app: ASGIFramework,
        _config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start `app` for one request; returns the function that hands it what the client sends."""
        to_app, from_client = trio.open_memory_channel[ASGIReceiveEvent](_EVENTS_QUEUED)
        alive = trio.CancelScope()

        async def run() -> None:
            with alive, from_client:
                with firewall("application"):
                    await app(scope, from_client.receive, send)
                await send(None)

        async def put(message: ASGIReceiveEvent) -> None:
            # The application is free to end without having heard everything.
            with contextlib.suppress(trio.BrokenResourceError):
                try:
                    to_app.send_nowait(message)
                except trio.WouldBlock:
                    if message["type"].endswith(".disconnect"):
                        alive.cancel()
                    else:
                        await to_app.send(message)

        self._nursery.start_soon(run)
        return put

    def spawn(self, task: Callable[..., Awaitable[Any]], *args: object) -> None:
        """Start another task of the connection, such as one that sends pings."""
        self._nursery.start_soon(task, *args)
