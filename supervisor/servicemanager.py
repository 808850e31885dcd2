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
)


class ServiceManager:
    """Use `take_service_manager`. Telling never waits, and never fails."""

    def __init__(
        self,
        address: str | None = None,
        *,
        watchdog_s: float | None = None,
        sockets: tuple[socket.socket, ...] = (),
    ) -> None:
        """`address` is where to tell: a path, or a name after "@"; None for nobody."""
        self.watchdog_s = watchdog_s
        """Within how many seconds it has to hear that the server is alive; None: never."""
        self.sockets = sockets
        """Listening sockets that it has opened, and keeps."""
        self._address = None if address is None else _socket_name(address)

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
        if self._address is None:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.settimeout(0)
            sender.sendto("\n".join(lines).encode(), self._address)


def take_service_manager(environ: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """The service manager that started this process, if one did.

    What it said of itself is removed from `environ`: it is not meant for those we start.
    """
    said = {name: environ.pop(name, "") for name in _VARIABLES}
    own_pid = str(os.getpid())
    watched = said["WATCHDOG_PID"] in {"", own_pid} and said["WATCHDOG_USEC"].isdecimal()
    return ServiceManager(
        said["NOTIFY_SOCKET"] or None,
        watchdog_s=int(said["WATCHDOG_USEC"]) / 1e6 if watched else None,
        sockets=_passed_sockets(said) if said["LISTEN_PID"] == own_pid else (),
    )


def _passed_sockets(said: Mapping[str, str]) -> tuple[socket.socket, ...]:
    """Those of the passed descriptors that are listening stream sockets; others are closed."""
    count = int(said["LISTEN_FDS"]) if said["LISTEN_FDS"].isdecimal() else 0
    sockets = []
    for fd in range(_FIRST_PASSED, _FIRST_PASSED + count):
        os.set_inheritable(fd, False)  # noqa: FBT003
        try:
            sock = socket.socket(fileno=fd)
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            os.close(fd)
            continue
        if listens:
            sockets.append(sock)
        else:
            sock.close()
    return tuple(sockets)


def _socket_name(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address
