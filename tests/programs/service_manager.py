"""A service manager for tests: it keeps descriptors over the deaths of its service, and nothing else.

Started as `service_manager.py DIRECTORY ROOM COMMAND...`, it reads a word a line and answers with a
line of JSON. `start` starts COMMAND, with what is kept (sd_listen_fds(3)), and answers with its pid
when it is ready; a number signals it, and answers with its exit code when it is gone; `kept` names
what is kept. As systemd does, it reaps whatever its service leaves behind.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_FIRST = 3
_ASIDE = 200


class Manager:
    """Keeps at most `room` descriptors for a service that is started by `command`."""

    def __init__(self, directory: str, room: int, command: Sequence[str]) -> None:
        self._command = command
        self._kept: dict[str, int] = {}
        self._room = room
        self._address = os.path.join(directory, "notify")  # noqa: PTH118
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(self._address)
        self._children, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._main = 0
        self._ready = False
        self._status: int | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._told, selectors.EVENT_READ, self._hear)
        self._selector.register(self._children, selectors.EVENT_READ, self._reap)

    def serve(self) -> None:
        """Until there is nothing more to read."""
        asked = False

        def ask() -> None:
            nonlocal asked
            asked = True

        self._selector.register(sys.stdin, selectors.EVENT_READ, ask)
        while True:
            self._turn()
            if asked:
                asked = False
                line = sys.stdin.readline()  # one question at a time
                if not line:
                    break
                print(json.dumps(self._answer(line.strip())), flush=True)  # noqa: T201
        self._close()

    def _answer(self, word: str) -> object:
        if word == "start":
            return self.start()
        if word == "kept":
            return sorted(self._kept)
        os.kill(self._main, int(word))
        self._until_gone()
        return self._status

    def start(self) -> int | None:
        """The pid of the service once it is ready; None if it ends before that."""
        self._ready, self._status = False, None
        self._main = os.fork()
        if self._main == 0:
            self._become()
        while not self._ready and self._status is None:
            self._turn()
        return self._main if self._ready else None

    def _become(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        names = list(self._kept)
        aside = [fcntl.fcntl(self._kept[name], fcntl.F_DUPFD_CLOEXEC, _ASIDE) for name in names]
        for number, fd in enumerate(aside, _FIRST):
            os.dup2(fd, number, inheritable=True)
        told = {
            "NOTIFY_SOCKET": self._address,
            "FDSTORE": str(self._room),
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
        }
        os.dup2(2, 1)
        os.execvpe(self._command[0], list(self._command), os.environ | told)

    def _turn(self) -> None:
        for key, _events in self._selector.select():
            key.data()

    def _until_gone(self) -> None:
        while self._status is None:
            self._turn()

    def _hear(self) -> None:
        message, ancillary, _flags, _from = self._told.recvmsg(
            4096, socket.CMSG_SPACE(4 * 8), socket.MSG_CMSG_CLOEXEC
        )
        fds = array.array("i")
        for _level, _type, data in ancillary:
            fds.frombytes(data)
        said = dict(line.partition("=")[::2] for line in message.decode().splitlines())
        name = said.get("FDNAME", "stored")
        if "READY" in said:
            self._ready = True
        if "FDSTORE" in said and name not in self._kept and len(self._kept) < self._room:
            self._kept[name] = fds.pop()
        if "FDSTOREREMOVE" in said and name in self._kept:
            os.close(self._kept.pop(name))
        for fd in fds:  # those of a barrier as well
            os.close(fd)

    def _reap(self) -> None:
        os.read(self._children, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._main:
                    self._drain()
                    self._status = os.waitstatus_to_exitcode(ended[1])

    def _drain(self) -> None:
        """What the service said before it ended is heard before that."""
        self._told.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                self._hear()
        self._told.settimeout(None)

    def _close(self) -> None:
        if self._main and self._status is None:
            os.kill(self._main, signal.SIGKILL)
            self._until_gone()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Manager(sys.argv[1], int(sys.argv[2]), sys.argv[3:]).serve()
