"""Socket.IO, which is there when the first client comes.

Most servers never have one, and the libraries that read and write its packets take a tenth of a
second to import. So they are imported when they are needed, and in a thread: nobody waits for them
but the client that has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from quart import Response

from supervisor.config.settings import WebSettings
from supervisor.service import Supervisor
from web.auth.auth import Auth
from web.shutdown import Shutdown

if TYPE_CHECKING:
    from web.socketio.door import SocketIo


class LateSocketIo:
    """See the module."""

    def __init__(
        self,
        supervisor: Supervisor,
        settings: WebSettings,
        auth: Auth,
        shutdown: Shutdown,
        nursery: trio.Nursery,
    ) -> None:
        """See SocketIo."""
        self._needs = (supervisor, settings, auth, shutdown, nursery)
        self._socket_io: SocketIo | None = None

    async def http(self) -> Response:
        """A polling client's requests."""
        return await (await self.opened()).http()

    async def websocket(self) -> None:
        """A client with a WebSocket."""
        await (await self.opened()).websocket()

    async def opened(self) -> SocketIo:
        """What serves them."""
        if self._socket_io is None:
            make = await trio.to_thread.run_sync(_load)
            # Another client may have come meanwhile.
            self._socket_io = self._socket_io or make(*self._needs)
        return self._socket_io


def _load() -> type[SocketIo]:
    from web.socketio.door import SocketIo  # noqa: PLC0415 - see the module

    return SocketIo
