"""The doors: listening sockets for TCP and for the Unix socket, opened before anything else runs.

They are opened apart from serving, so that a port in use is found out before the engine starts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from supervisor.errors import ListenError

BACKLOG = 1024
# sun_path holds 108 bytes and wants a zero at its end (unix(7)).
MAX_SOCKET_PATH = 107


def open_tcp(bind: str) -> list[socket.socket]:
    """Listening sockets for `HOST:PORT`, one for each address that HOST has; port 0 picks one.

    `[::1]:4000` for IPv6; an empty HOST or `*` means every address. Raises ListenError.
    """
    host, port = split_bind(bind)
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            if sockets and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(_listen_tcp(family, address))
    except OSError as error:
        close_all(sockets)
        raise ListenError(f"cannot listen on {bind}: {error.strerror or error}") from error
    return sockets


def split_bind(bind: str) -> tuple[str, int]:
    """`HOST:PORT` as its two parts. Raises ListenError."""
    host, colon, port = bind.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ListenError(f'"{bind}" is not HOST:PORT with a port from 0 to 65535')
    if ":" in host and not bracketed:
        raise ListenError(f'"{bind}": write an IPv6 address in brackets, as in [::1]:4000')
    return ("" if bare == "*" else bare), int(port)


def _addresses(
    host: str, port: int
) -> list[tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unique = dict.fromkeys((info[0], info[4]) for info in found)
    return [(family, address) for family, address in unique]  # type: ignore[misc]


def _listen_tcp(
    family: socket.AddressFamily, address: tuple[str, int] | tuple[str, int, int, int]
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has its own socket; sharing one would make the other's bind fail.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def is_loopback(bind: str) -> bool:
    """True if `HOST:PORT` can be reached from this machine only. Raises ListenError."""
    host, port = split_bind(bind)
    if not host:
        return False
    try:
        addresses = _addresses(host, port)
    except OSError as error:
        raise ListenError(f"cannot listen on {bind}: {error.strerror or error}") from error
    return all(
        ipaddress.ip_address(address[0].partition("%")[0]).is_loopback for _, address in addresses
    )


def open_unix(path: Path) -> socket.socket:
    """A listening Unix socket with mode 0660 at `path`. A dead socket left there is replaced.

    Raises ListenError: the path is too long, is not a socket, or somebody listens there.
    """
    where = os.fspath(path)
    if len(os.fsencode(where)) > MAX_SOCKET_PATH:
        raise ListenError(
            f"the socket's path is longer than {MAX_SOCKET_PATH} bytes, which is all that Linux "
            f"allows: {where}"
        )
    try:
        _remove_stale(where)
        return _listen_unix(where)
    except OSError as error:
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from error


def _remove_stale(where: str) -> None:
    try:
        mode = os.lstat(where).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {where}: there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(where)
        except ConnectionRefusedError:
            os.unlink(where)
            return
    raise ListenError(f"cannot listen on {where}: another server listens there")


def _listen_unix(where: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # fchmod before bind sets the mode that bind creates the file with: no moment open to all.
        os.fchmod(sock.fileno(), 0o660)
        sock.bind(where)
        os.chmod(where, 0o660)
        sock.listen(BACKLOG)
        sock.setblocking(False)
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


def unix_paths(sockets: Sequence[socket.socket]) -> list[str]:
    """The files that open Unix sockets have."""
    return [sock.getsockname() for sock in sockets if sock.family == socket.AF_UNIX]


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close listeners, open or already closed."""
    for sock in sockets:
        sock.close()


def remove_files(paths: Sequence[str]) -> None:
    """Remove the files of Unix sockets that are closed now."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
