"""Runs the command line without waiting for Python to start: a process that has imported it forks.

Arguments, environment, directory, descriptors and exit code are those of a command on its own.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_MAX_BYTES = 256 * 1024
_WAIT_S = 100.0


class WarmPython:
    """A process that forks commands, one after the other."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_WAIT_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path
    ) -> subprocess.CompletedProcess[bytes]:
        """One command to its end."""
        asked = json.dumps([arguments, dict(env), str(cwd)]).encode()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            socket.send_fds(self._socket, [asked], [out.fileno(), error.fileno()])
            pid = int(self._socket.recv(_MAX_BYTES))
            try:
                code = int(self._socket.recv(_MAX_BYTES))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._socket.recv(_MAX_BYTES)
                raise
            out.seek(0)
            error.seek(0)
            return subprocess.CompletedProcess([*arguments], code, out.read(), error.read())


@functools.cache
def warm_python() -> WarmPython:
    """The one for all tests."""
    warm = WarmPython()
    atexit.register(warm.close)
    return warm


def _serve(commands: socket.socket) -> list[str]:
    """Fork for each command that is asked for. Returns its arguments in the process that is it."""
    while True:
        asked, descriptors, _, _ = socket.recv_fds(commands, _MAX_BYTES, 2)
        if not asked:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            commands.close()
            arguments, environment, cwd = json.loads(asked)
            for number, descriptor in enumerate(descriptors, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(environment)
            return list(arguments)
        for descriptor in descriptors:
            os.close(descriptor)
        commands.send(b"%d" % pid)
        _, status = os.waitpid(pid, 0)
        commands.send(b"%d" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    import supervisor.cli.runs
    import supervisor.cli.server
    import supervisor.cli.streams
    import supervisor.cli.token
    import supervisor.config.settings  # noqa: F401
    from supervisor.cli.main import main

    main(_serve(socket.socket(fileno=int(sys.argv[1]))))
