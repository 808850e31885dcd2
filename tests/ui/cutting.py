"""A proxy that cuts WebSockets again and again, in the middle of whatever they carry."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_READ_BYTES = 4096


class CuttingProxy:
    """Passes connections on to a port; `cuts` counts the WebSockets that were cut."""

    def __init__(self, target: int, seed: int) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = 0

    def serve(self) -> None:
        """Accept until closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=[client], daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            first = client.recv(_READ_BYTES)
            server.sendall(first)
            back = threading.Thread(target=_copy, args=[client, server], daemon=True)
            back.start()
            if b"upgrade: websocket" in first.lower():
                self._copy_some(server, client)
            else:
                _copy(server, client)
            for sock in (client, server):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            back.join()

    def _copy_some(self, source: socket.socket, target: socket.socket) -> None:
        """Copy a while, then stop wherever that is."""
        left = self._random.randrange(2_000, 150_000)
        with suppress(OSError):
            while left > 0:
                data = source.recv(min(_READ_BYTES, left))
                if not data:
                    return
                target.sendall(data)
                left -= len(data)
        self.cuts += 1


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def cutting_proxy(target: int, seed: int = 1) -> Iterator[CuttingProxy]:
    """A proxy in front of a local port."""
    proxy = CuttingProxy(target, seed)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
