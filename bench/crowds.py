"""Many runs, many viewers: what each of them costs the server, and how soon it starts with many.

"busy" is the share of one processor that the server process takes; latency is from just before a
line is written until its viewer has it. Memory is what is in RAM, divided among those that came.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bench._kept import keep
from bench._served import TOKEN, Client, Server, serve, serve_in, wait_idle
from bench.streams import build

RUNS = 50
RATE = 100
_HEADER = f"Authorization: Bearer {TOKEN}"


@contextmanager
def viewers(server: Server, count: int, run_ids: list[str], *options: str) -> Iterator[Any]:
    """So many viewers of these runs, by turns, once all are there; the client's process."""
    command = [str(build("viewers")), "-r", "-n", str(count), *options, "-H", _HEADER]
    paths = [f"/runs/{run_id}/stream" for run_id in run_ids]
    with subprocess.Popen(
        [*command, "127.0.0.1", str(server.port), *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            assert client.stderr is not None  # noqa: S101 - a pipe was asked for
            client.stderr.readline()
            yield client
        finally:
            client.kill()


def gated(client: Client, gate: Path, *command: str) -> str:
    """A run that begins when there is a file `gate`; its id."""
    line = 'while [ ! -e "$0" ]; do sleep 0.05; done; exec "$@"'
    return client.submit("/bin/sh", "-c", line, str(gate), *command)


def children(seconds: int, *, watched: bool) -> dict[str, float]:
    """RUNS programs that write RATE lines a second each, with a viewer each or with none."""
    command = str(build("emit")), "rate", str(RATE), str(RATE * seconds)
    told: dict[str, Any] = {}
    with serve(max_running=RUNS) as server:
        client, gate = Client(server), server.directory / "gate"
        run_ids = [gated(client, gate, *command) for _ in range(RUNS)]
        with viewers(server, RUNS if watched else 1, run_ids, "-e", "-l") as crowd:
            if not watched:
                crowd.kill()
            cpu, begun = server.cpu_s(), time.perf_counter()
            gate.touch()
            time.sleep(seconds)
            busy = (server.cpu_s() - cpu) / (time.perf_counter() - begun)
            told = msgspec.json.decode(crowd.stdout.read()) if watched else {}
        wait_idle(client)
        client.close()
    name = f"{RUNS} programs at {RATE} lines/s, {'with a viewer each' if watched else 'unwatched'}"
    found = {f"{name}: server busy %": busy * 100}
    if told:
        found[f"{name}: latency p50 ms"] = told["lat_us"]["p50"] / 1e3
        found[f"{name}: latency p99 ms"] = told["lat_us"]["p99"] / 1e3
    return found


def memory(count: int) -> dict[str, float]:
    """KiB for each viewer that only waits, and for each run that only sleeps."""
    found: dict[str, float] = {}
    with serve(max_running=count + 1) as server:
        client = Client(server)
        run_id = client.submit("sleep", "600")
        with viewers(server, 5, [run_id]):
            pass  # what only the first ones cost
        before = settled_kib(server)
        with viewers(server, count, [run_id]):
            found["memory of an idle viewer, KiB"] = (settled_kib(server) - before) / count
    with serve(max_running=count + 1) as server:
        client = Client(server)
        client.submit("sleep", "600")
        before = settled_kib(server)
        for _ in range(count):
            client.submit("sleep", "600")
        found["memory of a running job, KiB"] = (settled_kib(server) - before) / count
        client.close()
    return found


def stopping(count: int) -> dict[str, float]:
    """From SIGTERM to the server's end, with so many viewers of whom a tenth never reads."""
    with serve(max_running=2) as server:
        client = Client(server)
        run_id = client.submit(str(build("emit")), "bulk", "50000000")
        live = client.submit("sleep", "600")
        with viewers(server, count, [run_id, live], "-k", str(count // 10)):
            begun = time.perf_counter()
            os.kill(server.pid, signal.SIGTERM)
            while ") Z " not in Path(f"/proc/{server.pid}/stat").read_text("utf-8"):
                time.sleep(0.005)
            took = time.perf_counter() - begun
    return {f"SIGTERM to the end with {count} viewers, {count // 10} stalled, s": took}


def settled_kib(server: Server) -> int:
    """Memory, once it does not change any more."""
    last = -1
    while (now := server.rss_kib()) != last:
        last = now
        time.sleep(0.5)
    return now


def recorded(count: int) -> dict[str, float]:
    """How soon a server is ready that has recorded so many runs, and what they cost it."""
    with TemporaryDirectory(prefix="runwire-bench-") as name:
        directory = Path(name)
        with serve_in(directory, max_running=50) as server:
            few_s = server.ready_s
            client = Client(server)
            for _ in range(count):
                client.submit("true")
            wait_idle(client)
            client.close()
        with serve(max_running=50) as empty:
            few_kib = settled_kib(empty)
        with serve_in(directory, max_running=50) as server:
            many_s, many_kib = server.ready_s, settled_kib(server)
    return {
        "start of a server with no runs, s": few_s,
        f"start of a server with {count} recorded runs, s": many_s,
        "memory of a recorded run, bytes": (many_kib - few_kib) * 1024 / count,
    }


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="crowds", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    options = parser.parse_args()
    seconds, crowd, runs = (2, 50, 500) if options.quick else (10, 500, 10_000)
    figures = children(seconds, watched=False) | children(seconds, watched=True)
    keep("crowds", figures | memory(crowd) | stopping(100) | recorded(runs))


if __name__ == "__main__":
    main()
