"""A process that forks servers that are to die, so that none waits for Python to start."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_ROOM = 500
_REAP_EVERY_S = 0.005
_MAX_BYTES = 64 * 1024
_TOP = Path(__file__).parents[2]


class Mortals:
    """Makes servers, one after the other. `close` when done."""

    def __init__(self, directory: Path, stderr: TextIO) -> None:
        """All work in `directory`, and complain to `stderr`."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.mortal", str(theirs.fileno()), str(directory)],
                cwd=_TOP,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def start(
        self, point: str, nth: int, arguments: Sequence[str], stdout: int, keeping: str = ""
    ) -> int:
        """The pid of a new `runwire` that dies at `point`; of one that does not, for ''.

        `keeping` says whether its service manager keeps descriptors: not, as on a kernel that
        "tells" how any process ended, or as on one where they have to be "watched".
        """
        asked = json.dumps([point, nth, arguments, keeping]).encode()
        socket.send_fds(self._socket, [asked], [stdout])
        return int(self._socket.recv(_MAX_BYTES))

    def wait(self) -> int:
        """The exit code of the one that was started last, once it has ended; -9 for SIGKILL."""
        return int(self._socket.recv(_MAX_BYTES))

    def close(self) -> None:
        """No more of them."""
        self._socket.close()
        self._process.wait()


class _Keeper:
    """Keeps descriptors for the servers, and reaps whatever they leave behind."""

    def __init__(self, directory: str) -> None:
        take_orphans()
        self.lock = threading.Lock()
        """Held while a server is made, and while anything is done here."""
        self.server = 0
        self._store = Store(directory, _ROOM)
        threading.Thread(target=self._hear, daemon=True).start()
        threading.Thread(target=self._reap, daemon=True).start()

    def become_service(self, keeping: str) -> None:
        """In the new process: have what a service manager gives."""
        told = self._store.hand_over()
        if keeping:
            os.environ.update(told)
        if keeping == "watched":
            supervisor.daemon.tells_status = lambda: False  # type: ignore[attr-defined, assignment]

    def wait(self) -> int:
        """The exit code of the server, once it has ended and all that it said was heard."""
        os.waitid(os.P_PID, self.server, os.WEXITED | os.WNOWAIT)
        with self.lock:
            self._store.hear_all()
            _, status = os.waitpid(self.server, 0)
            self.server = 0
        return os.waitstatus_to_exitcode(status)

    def _hear(self) -> None:
        while True:
            select.select([self._store.told], [], [])
            with self.lock:
                self._store.hear_all()

    def _reap(self) -> None:
        while True:
            with suppress(ChildProcessError), self.lock:
                options = os.WEXITED | os.WNOHANG | os.WNOWAIT
                while (it := os.waitid(os.P_ALL, 0, options)) and it.si_pid != self.server:
                    os.waitpid(it.si_pid, 0)
            time.sleep(_REAP_EVERY_S)


def _have_much_of_little() -> None:
    """In the new process: what else takes megabytes happens at what the trial's jobs write."""
    ondisk, trimming = supervisor.log.ondisk, supervisor.log.trimming
    ondisk.FLOOD_BYTES = ondisk._FIRST_ALLOWANCE = ondisk._LEAST_ALLOWANCE = 8 * KIB
    ondisk._TELLING_BYTES = 1 * KIB
    trimming._AT_ONCE = 16 * KIB
    supervisor.log.logwriter._MAY_BE_DAMAGED = 8


def _serve(channel: socket.socket, directory: str) -> None:
    """Fork for each server that is asked for."""
    keeper = _Keeper(directory)
    while True:
        asked, descriptors, _, _ = socket.recv_fds(channel, _MAX_BYTES, 1)
        if not asked:
            return
        point, nth, arguments, keeping = json.loads(asked)
        with keeper.lock:
            keeper.server = os.fork()
        if keeper.server == 0:
            os.dup2(descriptors[0], 1)
            keeper.become_service(keeping)
            _have_much_of_little()
            os.setsid()
            os.chdir(directory)
            Fuse(point, nth).arm()
            supervisor.cli.main.main(arguments)
            os._exit(signal.SIGABRT)
        os.close(descriptors[0])
        channel.send(b"%d" % keeper.server)
        channel.send(b"%d" % keeper.wait())


if __name__ == "__main__":
    # Only the process that forks needs all of it.
    import supervisor.cli.main
    import supervisor.daemon
    import supervisor.log.logwriter
    import supervisor.log.ondisk
    import supervisor.log.trimming
    from supervisor.units import KIB
    from tests.crash.points import Fuse
    from tests.programs.service_manager import Store, take_orphans

    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
