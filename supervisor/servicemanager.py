"""What passes between the server and its service manager: sd_notify(3) and sd_listen_fds(3).

Without a service manager there is nobody to tell, and telling does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress

_FIRST_PASSED = 3  # SD_LISTEN_FDS_START
_VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "FDSTORE",
)


class ServiceManager:
    """Use `take_service_manager`. Telling never waits, and never fails."""

    def __init__(
        self,
        address: str | None = None,
        *,
        watchdog_s: float | None = None,
        sockets: tuple[socket.socket, ...] = (),
        kept: Mapping[str, int] | None = None,
        room: int | None = None,
    ) -> None:
        """`address` is where to tell: a path, or a name after "@"; None for nobody."""
        self.watchdog_s = watchdog_s
        """Within how many seconds it has to hear that the server is alive; None: never."""
        self.sockets = sockets
        """Listening sockets that it has opened, and keeps."""
        self.kept = dict(kept or {})
        """Descriptors that an earlier server has left with it, by name; for somebody to close."""
        self.room = room
        """How many descriptors it keeps; None if it has not said so."""
        self.address = None if address is None else _socket_name(address)
        """Where it is told, as connect(2) takes it."""

    def ready(self, status: str) -> None:
        """Everything works, after a start or a reload; `status` is for people."""
        self._tell("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """How things are, for people."""
        self._tell(f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read; `ready` ends that."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The server is going away."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def extend(self, seconds: float) -> None:
        """What is under way needs that much longer than now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def alive(self) -> None:
        """The server does its work: the watchdog waits anew."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self.address is None:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.settimeout(0)
            sender.sendto("\n".join(lines).encode(), self.address)


def take_service_manager(environ: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """The service manager that started this process, if one did.

    What it said of itself is removed from `environ`: it is not meant for those we start.
    """
    said = {name: environ.pop(name, "") for name in _VARIABLES}
    own_pid = str(os.getpid())
    sockets, kept = _passed(said) if said["LISTEN_PID"] == own_pid else ((), {})
    watched = said["WATCHDOG_PID"] in {"", own_pid} and said["WATCHDOG_USEC"].isdecimal()
    return ServiceManager(
        said["NOTIFY_SOCKET"] or None,
        watchdog_s=int(said["WATCHDOG_USEC"]) / 1e6 if watched else None,
        sockets=sockets,
        kept=kept,
        room=int(said["FDSTORE"]) if said["FDSTORE"].isdecimal() else None,
    )


def _passed(said: Mapping[str, str]) -> tuple[tuple[socket.socket, ...], dict[str, int]]:
    """The listening stream sockets among the passed descriptors, and the others by name."""
    count = int(said["LISTEN_FDS"]) if said["LISTEN_FDS"].isdecimal() else 0
    names = [*said["LISTEN_FDNAMES"].split(":"), *[""] * count][:count]
    sockets, kept = [], {}
    for fd, name in enumerate(names, _FIRST_PASSED):
        os.set_inheritable(fd, False)  # noqa: FBT003
        sock = _listening(fd)
        if sock is not None:
            sockets.append(sock)
        elif name in kept:
            os.close(fd)
        else:
            kept[name] = fd
    return tuple(sockets), kept


def _listening(fd: int) -> socket.socket | None:
    """A socket of `fd` if that is one that listens, which then owns it."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return sock
    sock.detach()
    return None


def _socket_name(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address
