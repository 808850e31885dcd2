"""A process that forks servers that are to die, so that none waits for Python to start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

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

    def start(self, point: str, nth: int, arguments: Sequence[str], stdout: int) -> int:
        """The pid of a new `runwire` that dies at `point`; of one that does not, for ''."""
        socket.send_fds(self._socket, [json.dumps([point, nth, arguments]).encode()], [stdout])
        return int(self._socket.recv(_MAX_BYTES))

    def wait(self) -> int:
        """The exit code of the one that was started last, once it has ended; -9 for SIGKILL."""
        return int(self._socket.recv(_MAX_BYTES))

    def close(self) -> None:
        """No more of them."""
        self._socket.close()
        self._process.wait()


def _serve(channel: socket.socket, directory: str) -> None:
    """Fork for each server that is asked for."""
    import supervisor.cli.main  # noqa: PLC0415 - only the process that forks needs all of it
    import supervisor.daemon  # noqa: PLC0415
    from tests.crash.points import Fuse  # noqa: PLC0415

    while True:
        asked, descriptors, _, _ = socket.recv_fds(channel, _MAX_BYTES, 1)
        if not asked:
            return
        point, nth, arguments = json.loads(asked)
        pid = os.fork()
        if pid == 0:
            channel.close()
            os.dup2(descriptors[0], 1)
            os.close(descriptors[0])
            os.setsid()
            os.chdir(directory)
            Fuse(point, nth).arm()
            supervisor.cli.main.main(arguments)
            os._exit(signal.SIGABRT)
        os.close(descriptors[0])
        channel.send(b"%d" % pid)
        _, status = os.waitpid(pid, 0)
        channel.send(b"%d" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
