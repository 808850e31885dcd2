"""Descriptors that outlive the server: its service manager keeps them, and gives them to the next.

What is kept are our ends of a run's pipes or terminal, and its pidfd. systemd hands them to the
next main process of the service, next to its sockets, whether this one was restarted or killed
(sd_notify(3), FDSTORE=1; systemd.service(5), FileDescriptorStoreMax=).

Each is kept under a name of its own, `run-ID.ROLE`. FDPOLL=0 has systemd keep a pipe whose writer
is gone, with what was not read of it yet.
"""

from __future__ import annotations

import array
import os
import re
import socket
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

import trio

_NAME = re.compile(r"run-(.+)\.([a-z]+)", re.ASCII)
_PATIENCE_S = 5.0
"""A service manager that has not taken a descriptor by then is not waited for any longer."""


class FdStore:
    """What is kept for the next server, and what an earlier one has left."""

    def __init__(
        self,
        address: str | None = None,
        room: int = 0,
        left: Mapping[str, int] | None = None,
        *,
        watched: bool = False,
    ) -> None:
        """`address` is that of the service manager's socket, which keeps `room` descriptors.

        `watched` says that a process has to be watched for its end to be known to a later server.
        `left` are those that this server was given, by name; they are owned here from now on.
        """
        self._room = room
        self.watched = watched and room > 0
        """Whether processes whose descriptors are kept have to be watched."""
        self._left: dict[str, dict[str, int]] = {}
        for name, fd in (left or {}).items():
            if match := _NAME.fullmatch(name):
                self._left.setdefault(match[1], {})[match[2]] = fd
            else:
                os.close(fd)
        self._kept = {run_id: set(fds) for run_id, fds in self._left.items()}
        self._unsent: deque[str] = deque()
        self._turn = trio.Lock()
        self._socket = None if address is None or not room else _connect(address)

    @property
    def there(self) -> bool:
        """Whether there is anybody who keeps anything."""
        return self._socket is not None

    def has_room(self, count: int) -> bool:
        """Whether `count` more can be kept."""
        used = sum(map(len, self._kept.values()))
        return self.there and used + count <= self._room

    async def keep(self, run_id: str, fds: Mapping[str, int]) -> bool:
        """Have copies of `fds`, by role, kept for the run; True once they surely are.

        What an earlier server has left of it goes: that one fell before its start was on record.
        """
        self.drop(run_id)
        if not self.has_room(len(fds)):
            return False
        self._kept[run_id] = set(fds)
        with suppress(OSError), trio.move_on_after(_PATIENCE_S):
            async with self._turn:
                for role, fd in fds.items():
                    await self._send(f"FDSTORE=1\nFDPOLL=0\nFDNAME={_name(run_id, role)}", fd)
                await self._barrier()
                return True
        self.drop(run_id)
        return False

    def take(self, run_id: str) -> dict[str, int]:
        """What an earlier server left of the run, by role, for the caller to close.

        The service manager keeps its copies until they are dropped.
        """
        return self._left.pop(run_id, {})

    def drop(self, run_id: str, role: str | None = None) -> None:
        """Nothing of the run, or not that one, needs to be kept any longer. Never waits."""
        kept = self._kept.get(run_id, set())
        roles = [it for it in kept if role in {None, it}]
        kept.difference_update(roles)
        if not kept:
            self._kept.pop(run_id, None)
        for fd in self._left.pop(run_id, {}).values() if role is None else ():
            os.close(fd)
        self._unsent.extend(f"FDSTOREREMOVE=1\nFDNAME={_name(run_id, it)}" for it in roles)
        # What does not get through now goes ahead of whatever is kept next.
        with suppress(OSError):
            self._send_unsent()

    def drop_others(self, run_ids: Collection[str]) -> None:
        """Drop what is kept of any run but these."""
        for run_id in [run_id for run_id in self._kept if run_id not in run_ids]:
            self.drop(run_id)

    def close(self) -> None:
        """Let go of everything here. What is kept stays kept."""
        for fds in self._left.values():
            _close_all(fds.values())
        self._left.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _send(self, message: str, fd: int) -> None:
        assert self._socket is not None  # noqa: S101 - there is room, so there is somebody
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]).tobytes())]
        while True:
            try:
                self._send_unsent()
                self._socket.sendmsg([message.encode()], rights)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            else:
                return

    def _send_unsent(self) -> None:
        while self._unsent and self._socket is not None:
            self._socket.send(self._unsent[0].encode())
            self._unsent.popleft()

    async def _barrier(self) -> None:
        """Return when all that was sent before has been dealt with: sd_notify_barrier(3)."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                await self._send("BARRIER=1", theirs)
            finally:
                os.close(theirs)
            await trio.lowlevel.wait_readable(ours)
        finally:
            os.close(ours)


def _name(run_id: str, role: str) -> str:
    return f"run-{run_id}.{role}"


def _connect(address: str) -> socket.socket | None:
    sender = socket.socket(
        socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    try:
        sender.connect(address)
    except OSError:
        sender.close()
        return None
    return sender


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
