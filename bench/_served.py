"""A real `runwire serve` for a benchmark, and the leanest client there is for its Unix socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct

TOKEN = "bench" * 8
_PATIENCE_S = 60.0
_TICK = os.sysconf("SC_CLK_TCK")


class Server(Struct, frozen=True):
    """A server that is ready: its process, where it listens, how long it took to start."""

    pid: int
    port: int
    directory: Path
    ready_s: float

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self.directory / "state" / "runwire.sock"

    def cpu_s(self) -> float:
        """CPU time of the server process so far, without its children."""
        return cpu_s(self.pid)

    def rss_kib(self) -> int:
        """Memory that the server process has in RAM."""
        return memory_kib(self.pid, "VmRSS")


def cpu_s(pid: int) -> float:
    """CPU time that a process has used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_kib(pid: int, what: str) -> int:
    """A line of /proc/PID/status: `VmRSS` is the memory in RAM, `VmHWM` the most there ever was."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    return 0


@contextmanager
def serve(
    *, max_running: int, where: Path | None = None, max_log: str | None = None
) -> Iterator[Server]:
    """A server on a state directory that is removed in the end, or on the one in `where`."""
    with (
        TemporaryDirectory(prefix="runwire-bench-", dir=where) as directory,
        serve_in(Path(directory), max_running=max_running, max_log=max_log) as server,
    ):
        yield server


@contextmanager
def serve_in(directory: Path, *, max_running: int, max_log: str | None = None) -> Iterator[Server]:
    """A server whose state directory is `directory`/state."""
    config = directory / "jobs.toml"
    # Everything comes from one address here.
    limits = "max_connections = 4096\nmax_connections_per_address = 4096\n"
    logs = "" if max_log is None else f'max_log = "{max_log}"\n'
    config.write_text(
        f'[supervisor]\nstate_dir = "state"\nmax_running = {max_running}\n{logs}'
        f'[web]\nbind = "127.0.0.1:0"\n[web.limits]\n{limits}',
        "utf-8",
    )
    with (directory / "server.log").open("wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            [Path(sys.executable).parent / "runwire", "serve", "--config", config],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "WS_AUTH_TOKEN": TOKEN},
        )
    try:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = process.stdout.readline()
        ready_s = time.perf_counter() - start
        if not line:
            sys.exit(f"bench: the server did not start; it said: {_said(directory)}")
        port = int(line.split("//")[1].split("/")[0].rpartition(":")[2])
        yield Server(process.pid, port, directory, ready_s)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _said(directory: Path) -> str:
    return (directory / "server.log").read_text("utf-8", "replace").strip()


class Client:
    """One connection to the server's Unix socket, kept alive: bytes out, bytes in."""

    def __init__(self, server: Server) -> None:
        """Connects."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE_S)
        self._socket.connect(str(server.socket))
        self._left = b""

    def submit(self, *command: str, **more: object) -> str:
        """Submit a run, with `more` of a request's fields; returns its id."""
        body = json.dumps({"command": command, **more}).encode()
        run: dict[str, str] = json.loads(self.ask("POST", "/runs", body))
        return run["id"]

    def run(self, run_id: str) -> dict[str, Any]:
        """A run as the server shows it."""
        shown: dict[str, Any] = json.loads(self.ask("GET", f"/runs/{run_id}"))
        return shown

    def unfinished(self) -> bool:
        """Whether any run has not ended."""
        return bool(
            json.loads(self.ask("GET", "/runs?status=queued&status=running&limit=1"))["runs"]
        )

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer."""
        self._send(method, path, body)
        head = self._head()
        length = _length(head)
        while len(self._left) < length:
            self._left += self._receive()
        answer, self._left = self._left[:length], self._left[length:]
        return answer

    def follow(self, run_id: str) -> Iterator[bytes]:
        """The run's output as it comes; of a run that goes on, with the framing of HTTP's chunks."""
        self._send("GET", f"/runs/{run_id}/log?follow=1", b"")
        length = _length(self._head())
        while length:
            data = self._left or self._receive()
            self._left = b""
            length -= len(data)
            yield data
            if not length:
                return
        while b"0\r\n\r\n" not in self._left[-8:]:
            if self._left:
                yield self._left
            self._left = self._receive()
        yield self._left
        self._left = b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _send(self, method: str, path: str, body: bytes) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: runwire\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(head.encode() + b"\r\n" + body)

    def _head(self) -> bytes:
        while b"\r\n\r\n" not in self._left:
            self._left += self._receive()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status >= 300:
            sys.exit(f"bench: the server answered {status}: {self._left.decode()}")
        return head + b"\r\n"

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            sys.exit("bench: the server closed the connection")
        return data


def _length(head: bytes) -> int:
    """What an answer's head says of its body; 0 for one that comes in chunks, or for none."""
    _, found, rest = head.lower().partition(b"content-length: ")
    return int(rest.split(b"\r\n")[0]) if found else 0


def wait_idle(client: Client) -> None:
    """Return once every run has ended."""
    while client.unfinished():
        time.sleep(0.02)


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]
