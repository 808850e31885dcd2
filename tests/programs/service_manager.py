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
import select
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_FIRST = 3
_ASIDE = 1000


class Store:
    """Keeps at most `room` descriptors, and hears of them at a socket in `directory`."""

    def __init__(self, directory: str, room: int) -> None:
        self.kept: dict[str, int] = {}
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._room = room
        self._address = os.path.join(directory, "notify")  # noqa: PTH118
        self.told.bind(self._address)

    def hear(self) -> bool:
        """Take in one message; whether it says that the service is ready."""
        message, ancillary, _flags, _from = self.told.recvmsg(
            4096, socket.CMSG_SPACE(4 * 8), socket.MSG_CMSG_CLOEXEC
        )
        fds = array.array("i")
        for _level, _type, data in ancillary:
            fds.frombytes(data)
        said = dict(line.partition("=")[::2] for line in message.decode().splitlines())
        name = said.get("FDNAME", "stored")
        if "FDSTORE" in said and name not in self.kept and len(self.kept) < self._room:
            self.kept[name] = fds.pop()
        if "FDSTOREREMOVE" in said and name in self.kept:
            os.close(self.kept.pop(name))
        for fd in fds:  # those of a barrier as well
            os.close(fd)
        return "READY" in said

    def hear_all(self) -> None:
        """Take in what there is."""
        with suppress(BlockingIOError):
            while select.select([self.told], [], [], 0)[0]:
                self.hear()

    def hand_over(self) -> dict[str, str]:
        """In the process that is to be the service: what is kept, and what it is told of it.

        Every other descriptor but the first three is closed.
        """
        names = list(self.kept)
        aside = [fcntl.fcntl(self.kept[name], fcntl.F_DUPFD, _ASIDE) for name in names]
        os.closerange(_FIRST, _ASIDE)
        for number, fd in enumerate(aside, _FIRST):
            os.dup2(fd, number, inheritable=True)
            os.close(fd)
        return {
            "NOTIFY_SOCKET": self._address,
            "FDSTORE": str(self._room),
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
        }


def take_orphans() -> None:
    """Become the parent of all that those left behind who come from here."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Manager:
    """Starts a service by `command`, as often as asked."""

    def __init__(self, store: Store, command: Sequence[str]) -> None:
        self._command = command
        self._store = store
        self._children, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._main = 0
        self._ready = False
        self._status: int | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(store.told, selectors.EVENT_READ, self._hear)
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
            return sorted(self._store.kept)
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
        told = self._store.hand_over()
        os.dup2(2, 1)
        os.execvpe(self._command[0], list(self._command), os.environ | told)

    def _turn(self) -> None:
        for key, _events in self._selector.select():
            key.data()

    def _until_gone(self) -> None:
        while self._status is None:
            self._turn()

    def _hear(self) -> None:
        self._ready = self._store.hear() or self._ready

    def _reap(self) -> None:
        os.read(self._children, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._main:
                    self._store.hear_all()  # what it said before it ended
                    self._status = os.waitstatus_to_exitcode(ended[1])

    def _close(self) -> None:
        if self._main and self._status is None:
            os.kill(self._main, signal.SIGKILL)
            self._until_gone()


if __name__ == "__main__":
    take_orphans()
    Manager(Store(sys.argv[1], int(sys.argv[2])), sys.argv[3:]).serve()
