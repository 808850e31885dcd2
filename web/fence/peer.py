"""Who is at the other end of a connection, as the kernel tells it."""

from __future__ import annotations

import ipaddress
import socket
import struct

import trio
from msgspec import Struct

_UCRED = struct.Struct("3i")


class Peer(Struct, frozen=True):
    """The other end: `address` for TCP; `uid` and `pid` for the Unix socket, else None.

    `uid` is that of the process that connected, and cannot be forged (SO_PEERCRED, unix(7)).
    """

    address: str | None = None
    port: int | None = None
    uid: int | None = None
    pid: int | None = None

    @property
    def local(self) -> bool:
        """True if it came through the Unix socket."""
        return self.uid is not None

    @property
    def key(self) -> str:
        """What connections of one origin have in common, for counting them."""
        if self.uid is not None:
            return f"uid {self.uid}"
        if self.address is not None and ":" in self.address:
            # One IPv6 host usually has a whole /64 to choose its addresses from.
            return str(ipaddress.ip_network((self.address, 64), strict=False))
        return self.address or "unknown"

    def __str__(self) -> str:
        """For a log line: `127.0.0.1:40312`, `uid 1000 (pid 4711)`."""
        if self.uid is not None:
            return f"uid {self.uid} (pid {self.pid})"
        return (
            f"[{self.address}]:{self.port}"
            if ":" in (self.address or "")
            else (f"{self.address}:{self.port}")
        )


def peer_of(sock: trio.socket.SocketType) -> Peer:
    """The peer of a connected stream socket. Raises OSError if it is gone already."""
    if sock.family == socket.AF_UNIX:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, _gid = _UCRED.unpack(raw)
        return Peer(uid=uid, pid=pid)
    name = sock.getpeername()
    # A link-local IPv6 address carries its interface: fe80::1%eth0.
    return Peer(address=name[0].partition("%")[0], port=name[1])
