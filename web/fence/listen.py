"""The doors: listening sockets for TCP and for the Unix socket, opened before anything else runs.

They are opened apart from serving, so that a port in use is found out before the engine starts.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.config.bind import Bind
from supervisor.config.settings import WebSettings
from supervisor.errors import ListenError

BACKLOG = 1024
# sun_path holds 108 bytes and wants a zero at its end (unix(7)).
MAX_SOCKET_PATH = 107


def open_missing(sockets: list[socket.socket], web: WebSettings) -> list[Path]:
    """Add those of the configured doors to `sockets` that have none of their kind there yet.

    What a service manager has opened stands for what is configured. Returns the files to remove
    in the end. Raises ListenError.
    """
    families = {sock.family for sock in sockets}
    if not families & {socket.AF_INET, socket.AF_INET6}:
        sockets += open_tcp(web.bind)
    if socket.AF_UNIX in families:
        return []
    sockets.append(open_unix(web.socket))
    return [web.socket]


def open_tcp(bind: Bind) -> list[socket.socket]:
    """Listening sockets for `bind`, one for each address that its host has; port 0 picks one.

    Raises ListenError.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(bind):
            chosen = sockets[0].getsockname()[1] if sockets else bind.port
            sockets.append(_listen_tcp(family, (address[0], chosen, *address[2:])))
    except OSError as error:
        close_all(sockets)
        raise ListenError(f"cannot listen on {bind}: {error.strerror or error}") from error
    return sockets


def _addresses(bind: Bind) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((info[0], info[4]) for info in found))


def _listen_tcp(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has its own socket; sharing one would make the other's bind fail.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def open_unix(path: Path) -> socket.socket:
    """A listening Unix socket with mode 0660 at `path`. A dead socket left there is replaced.

    Raises ListenError: the path is too long, is not a socket, or somebody listens there.
    """
    where = str(path)
    if len(os.fsencode(where)) > MAX_SOCKET_PATH:
        raise ListenError(
            f"the socket's path is longer than {MAX_SOCKET_PATH} bytes, which is all that Linux "
            f"allows: {where}"
        )
    try:
        _remove_stale(path)
        return _listen_unix(path)
    except OSError as error:
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from error


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {path}: there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ListenError(f"cannot listen on {path}: another server listens there")


def _listen_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # fchmod before bind sets the mode that bind creates the file with: no moment open to all.
        os.fchmod(sock.fileno(), 0o660)
        sock.bind(str(path))
        path.chmod(0o660)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def address_of(sock: socket.socket) -> str:
    """For people: `127.0.0.1:4000`, `[::1]:4000`, `unix:/run/runwire/runwire.sock`."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close listeners, open or already closed."""
    for sock in sockets:
        sock.close()


def remove_files(paths: Sequence[Path]) -> None:
    """Remove the files of Unix sockets that are closed now; one that stays is in nobody's way."""
    for path in paths:
        with suppress(OSError):
            path.unlink()
