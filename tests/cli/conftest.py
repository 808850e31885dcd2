"""A real server in a process of its own, and the real command line against it."""

from __future__ import annotations

import http.client
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from supervisor.wire import RunView
from tests.cli.warm import warm_python
from tests.patience import PATIENCE_S

RUNWIRE = str(Path(sys.executable).with_name("runwire"))
JOBS = r"""
[jobs.greet]
description = "Greets"
command = ["printf", "%s %s\n", "{whom}", "{times}"]
params.whom = { type = "string", default = "world" }
params.times = { type = "int", min = 1, max = 8, default = 1 }
tags = ["friendly"]

[jobs.both]
shell = "echo out; echo err >&2; exit 3"

[jobs.stubborn]
shell = "trap '' TERM; echo ready; while :; do sleep 1; done"
stop = { signal = "TERM", grace = "1h" }

[jobs.needs-a-number]
command = ["true"]
params.n = { type = "int" }
"""

# Reads words from a fifo, and writes each to stdout, or to stderr if it begins with "!". "." ends it.
ECHO = """
while read -r word <&3; do
  case $word in
    .) exit 0 ;;
    !*) echo "${word#!}" >&2 ;;
    *) echo "$word" ;;
  esac
done
"""


class Server:
    """`runwire serve` on a state directory of its own, which outlives it."""

    def __init__(self, directory: Path, setting: str = "") -> None:
        """Nothing runs before `start`. `setting` is a line of `[supervisor]`."""
        self.directory = directory
        self.state = directory / "s"
        self.socket = str(self.state / "runwire.sock")
        jobs = f"[supervisor]\n{setting}\n{JOBS}"
        (directory / "jobs.toml").write_text(jobs, encoding="utf-8")
        self.process: subprocess.Popen[str] | None = None
        self._killed = False
        self.url = ""
        self.bind = "127.0.0.1:0"

    def start(self) -> None:
        """Returns once it accepts connections."""
        self._killed = False
        arguments = ["--config", "jobs.toml", "--bind", self.bind, "--state-dir", "s", "--dev"]
        self.process = subprocess.Popen(
            [RUNWIRE, "serve", *arguments],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            pytest.fail("the server ended before it accepted connections")
        self.url = next(word for word in line.split() if word.startswith("http://"))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Returns once it is gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.communicate(timeout=PATIENCE_S)
            self.process = None
            self._killed = how is signal.SIGKILL

    def close(self) -> None:
        """Ends it with every run it has, those that ignore SIGTERM included.

        One that was killed is started once more, to find what that left behind.
        """
        if self._killed:
            self.start()
        while self.process is not None:
            self.process.send_signal(signal.SIGTERM)  # the second time kills the runs
            with suppress(subprocess.TimeoutExpired):
                self.process.communicate(timeout=0.3)
                self.process = None
        # One that was killed may need a moment to be gone.
        give_up_at = time.monotonic() + 10
        while left := at_work_in(self.directory):
            assert time.monotonic() < give_up_at, left
            time.sleep(0.01)

    @property
    def environment(self) -> dict[str, str]:
        """What makes the command line find this server."""
        return clean_environment() | {"RUNWIRE_SOCKET": self.socket}

    def run(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """One command to its end."""
        return warm_python().run(
            arguments, env=self.environment | environment, cwd=cwd or self.directory
        )

    def output(self, *arguments: str) -> str:
        """What a command prints that is to succeed."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()

    def json(self, kind: type[Any], *arguments: str) -> Any:
        """What a command prints as JSON, as a type of the API."""
        return msgspec.json.decode(self.output(*arguments), type=kind)

    def run_view(self, run_id: str) -> RunView:
        """A run as it is now."""
        return msgspec.json.decode(self.get(f"/runs/{run_id}"), type=RunView)

    def submit(self, *arguments: str) -> str:
        """The id of a new run."""
        return self.output("submit", *arguments).strip()

    def get(self, path: str) -> bytes:
        """What the API itself answers."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.socket)
        with connection.sock:
            connection.request("GET", path)
            return connection.getresponse().read()

    @asynccontextmanager
    async def running(self, *arguments: str, **options: Any) -> AsyncIterator[trio.Process]:
        """A command at work, its stdout and stderr piped unless said otherwise."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        start = partial(
            trio.lowlevel.open_process, env=self.environment, cwd=self.directory, **options
        )
        process = await start([RUNWIRE, *arguments], stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            await process.wait()


class Echo:
    """A run that writes what it is told, when it is told."""

    def __init__(self, directory: Path) -> None:
        """Makes the fifo through which it is told."""
        fifo = directory / "fifo"
        os.mkfifo(fifo)
        self.command = ["--shell", f"exec 3<'{fifo}'; {ECHO}"]
        # Open for reading as well: neither end then ever waits for the other.
        self._end = os.open(fifo, os.O_RDWR)

    def tell(self, word: str) -> None:
        """Has it write."""
        os.write(self._end, f"{word}\n".encode())

    def close(self) -> None:
        """Lets go of the fifo."""
        os.close(self._end)


def tell_in_order(server: Server, run_id: str, echo: Echo, *words: str) -> None:
    """Have it write each when the one before is in its log: two pipes have no order."""
    size = 0
    for word in words:
        echo.tell(word)
        size += len(word.removeprefix("!")) + 1
        while server.run_view(run_id).log.size < size:
            time.sleep(0.005)


def clean_environment() -> dict[str, str]:
    """This environment without what would lead a command to another server."""
    unwanted = ("RUNWIRE_", "WS_AUTH_TOKEN", "NO_COLOR", "TERM", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def at_work_in(directory: Path) -> list[str]:
    """The processes whose working directory is below this one, as `PID COMMAND`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(directory):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(f"{process.name} {command}")
    return found


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server at work."""
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests that let it be."""
    with serving(Server(tmp_path_factory.mktemp("cli"))) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, that may kill it."""
    with serving(Server(tmp_path)) as server:
        yield server


@pytest.fixture
def narrow_server(tmp_path: Path) -> Iterator[Server]:
    """The same, that executes one run at a time."""
    with serving(Server(tmp_path, "max_running = 1")) as server:
        yield server


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    """A run to be started."""
    echo = Echo(tmp_path)
    yield echo
    echo.close()


async def read_until(stream: trio.abc.ReceiveStream | None, wanted: bytes) -> bytes:
    """What comes, until it ends with `wanted`."""
    assert stream is not None
    seen = b""
    while not seen.endswith(wanted):
        piece = await stream.receive_some()
        assert piece, f"it ended with {seen[-200:]!r}"
        seen += piece
    return seen


async def read_all(stream: trio.abc.ReceiveStream | None) -> bytes:
    """What comes until the end."""
    assert stream is not None
    return b"".join([bytes(piece) async for piece in stream])


def lines(table: str) -> Sequence[Sequence[str]]:
    """The fields of a table that was printed for programs."""
    return [line.split("\t") for line in table.splitlines()]


def on_terminal(server: Server, *arguments: str, **environment: str) -> str:
    """What a command shows on a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, True)
    environ = server.environment | {"TERM": "xterm", "COLUMNS": "100"} | environment
    shown = b""
    with subprocess.Popen([RUNWIRE, *arguments], env=environ, stdout=theirs) as process:
        os.close(theirs)
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # how a terminal ends
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


async def wait_known(server: Server, run_id: str) -> None:
    """Until the server has taken the run in."""
    while f'"{run_id}"' not in server.get("/runs").decode():  # noqa: ASYNC110 - it is another process
        await trio.sleep(0.005)
