"""How fast output reaches viewers, side by side with servers in Node.

Each server streams the same program to the same client, one after the other, again and again, so
that a busy moment of the machine falls on all alike; medians count. The viewers are connected
before the program starts. Runwire runs as its users run it: its own server, a token, the run
submitted over HTTP and logged on disk; the others only stream. The client and the program are in
C (`native/`), so that neither is the bottleneck.

"lines" writes lines of 100 bytes through a buffer of 4 KiB, "unbuf" each line by itself, "bulk"
64 KiB at a time; "printf" is "lines" by a program that spends most of its time formatting them. CPU
time is from the first output on; with many viewers, that to connect one stands beside it. Latency
is that of single lines, 50 a second, from just before they are written.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct

from bench._served import TOKEN, Client, Server, median, memory_kib, serve
from tools.npm import need_programs

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BUILD = RESULTS / "native"
_PATIENCE_S = 120
_SUBPROTOCOL = "runwire.binary"
LINE = 100

Sample = dict[str, float]


class Target(Struct, frozen=True):
    """Where viewers are to connect: what they are to say, which process is measured, and how the
    program is started once they are there."""

    port: int
    pid: int
    path: str
    options: tuple[str, ...]
    go: Callable[[], None]


def build(name: str) -> Path:
    """A program of `native/`, compiled if it is not yet, or has changed."""
    source, program = HERE / "native" / f"{name}.c", BUILD / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which("cc") or sys.exit("bench: a C compiler (cc) is needed")
        subprocess.run([compiler, "-O2", "-w", "-o", program, source], check=True)
    return program


@contextmanager
def runwire(server: Server, child: list[str], *, binary: bool) -> Iterator[Target]:
    """A run on a server of our own that waits at a gate until the viewers are there."""
    with TemporaryDirectory() as directory:
        gate = Path(directory) / "gate"
        os.mkfifo(gate)
        client = Client(server)
        run_id = client.submit("/bin/sh", "-c", 'read _ < "$0"; exec "$@"', str(gate), *child)
        options = ["-H", f"Authorization: Bearer {TOKEN}"]
        if binary:
            options += ["-H", f"Sec-WebSocket-Protocol: {_SUBPROTOCOL}"]
        path = f"/runs/{run_id}/stream"

        def go() -> None:
            gate.write_text("go\n")

        yield Target(server.port, server.pid, path, tuple(options), go)
        while client.run(run_id)["ended_at"] is None:
            time.sleep(0.01)
        client.ask("DELETE", f"/runs/{run_id}")
        client.close()


@contextmanager
def node(script: str, child: list[str], viewers: int, env: dict[str, str]) -> Iterator[Target]:
    """A server in Node that starts its program when all viewers are there."""
    command = ["node", f"{HERE}/peers/{script}", "0", str(viewers), *child]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            port = int(process.stdout.readline())
            options = ("-s",) if script.startswith("sio") else ()
            yield Target(port, process.pid, "/", options, lambda: None)
        finally:
            process.kill()


@contextmanager
def websocketd(child: list[str]) -> Iterator[Target]:
    """websocketd, which starts a program of its own for each viewer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", "--address=127.0.0.1", "--loglevel=fatal", "--binary=true"]
    with subprocess.Popen(["websocketd", *options, *child]) as process:
        try:
            wait_listening(port)
            yield Target(port, process.pid, "/", (), lambda: None)
        finally:
            process.kill()


def wait_listening(port: int) -> None:
    """Return once somebody accepts connections there."""
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    sys.exit(f"bench: nobody listens on port {port}")


Opened = Callable[[Server, list[str], int], Any]
SERVERS: dict[str, Opened] = {
    "Node + Socket.IO": lambda _server, child, n: node("sio_server.js", child, n, {}),
    "Node + ws, JSON": lambda _server, child, n: node("ws_server.js", child, n, {}),
    "Node + ws, binary": lambda _server, child, n: node(
        "ws_server.js", child, n, {"FORMAT": "bin"}
    ),
    "Runwire, JSON": lambda server, child, _n: runwire(server, child, binary=False),
    "Runwire, binary": lambda server, child, _n: runwire(server, child, binary=True),
    "websocketd": lambda _server, child, _n: websocketd(child),
}
_MANY = 100
_WITHOUT_MANY = frozenset({"websocketd"})
"""A program for each viewer is another thing with many viewers."""


def watch(target: Target, viewers: int, *options: str) -> Sample:
    """Have that many viewers watch the program to its end; what the client measured."""
    command = [str(build("viewers")), "-r", "-n", str(viewers), "-t", str(_PATIENCE_S), "-p"]
    command += [str(target.pid), *options, *target.options, "127.0.0.1", str(target.port)]
    with subprocess.Popen(
        [*command, target.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        assert client.stderr is not None  # noqa: S101 - pipes were asked for
        assert client.stdout is not None  # noqa: S101
        if client.stderr.readline() != "open\n":
            sys.exit(f"bench: no viewers could connect: {client.stdout.read()}")
        target.go()
        told: dict[str, Any] = json.loads(client.stdout.read())
    if told["timed_out"] or told["ended"] + told_stalled(options) < viewers:
        sys.exit(f"bench: not all viewers saw the end: {told}")
    return {**told, "peak_kib": memory_kib(target.pid, "VmHWM")}


def told_stalled(options: tuple[str, ...]) -> int:
    """How many of the viewers never read."""
    return int(options[options.index("-k") + 1]) if "-k" in options else 0


class Measurement(Struct, frozen=True):
    """What is measured: a program, and viewers."""

    name: str
    child: tuple[str, ...]
    viewers: int
    size_mb: float = 0.0
    options: tuple[str, ...] = ("-e",)

    def figures(self, told: Sample) -> Sample:
        """The figures that count, from what the client told."""
        if "lat_us" in told:
            latency: Any = told["lat_us"]
            return {"p50 ms": latency["p50"] / 1e3, "p99 ms": latency["p99"] / 1e3}
        figures = {
            "MB/s": self.size_mb / told["run_s"],
            "CPU ms/MB": told["srv_cpu_s"] / self.size_mb * 1e3,
            "peak MiB": told["peak_kib"] / 1024,
        }
        if self.viewers >= _MANY:
            figures["CPU ms to connect one"] = told["srv_open_cpu_s"] / self.viewers * 1e3
        return figures


def measurements(*, quick: bool) -> list[Measurement]:
    """Everything that is measured; `quick` is a tenth of it."""
    lines = 200_000 if quick else 2_000_000
    seconds = 2 if quick else 5
    found = [
        throughput(mode, lines // share, viewers)
        for mode, share, crowds in (
            ("lines", 1, (1, 10)),
            ("printf", 1, (1,)),
            ("unbuf", 4, (1,)),
            ("bulk", 1, (1, 10)),
        )
        for viewers in crowds
    ]
    found.append(throughput("lines", lines // 10, 100))
    found.append(throughput("lines", lines // 50, 500))
    found.append(throughput("lines", lines, 2, stalled=1))
    found += [
        Measurement(
            name=f"latency, {viewers} viewers" if viewers > 1 else "latency, 1 viewer",
            child=("rate", "50", str(50 * seconds)),
            viewers=viewers,
            options=("-e", "-l"),
        )
        for viewers in (1, 10, 100, 500)
    ]
    found.append(
        Measurement(
            name="trickle of 4 lines a second, 1 viewer",
            child=("rate", "4", str(4 * seconds)),
            viewers=1,
            options=("-e", "-l"),
        )
    )
    return found


def peers(measurement: Measurement) -> list[str]:
    """The servers to compare: those that are installed, and fit."""
    few = measurement.viewers <= 10
    return [
        name
        for name in SERVERS
        if name not in _WITHOUT_MANY
        or (few and shutil.which(name) and "bulk" not in measurement.name)
    ]


def throughput(mode: str, lines: int, viewers: int, stalled: int = 0) -> Measurement:
    """Lines as fast as they come; the last `stalled` of the viewers never read."""
    amount = lines * LINE if mode == "bulk" else lines
    crowd = f"{viewers} viewers" if viewers > 1 else "1 viewer"
    return Measurement(
        name=f"{mode}, {crowd}" + (f", {stalled} of them stalled" if stalled else ""),
        child=(mode, str(amount)),
        viewers=viewers,
        size_mb=lines * LINE / 1e6,
        options=("-e", "-k", str(stalled)) if stalled else ("-e",),
    )


def take(measurement: Measurement, name: str) -> Sample:
    """Measure one server once. Runwire gets a new one each time, as the others do."""
    child = [str(build("emit")), *measurement.child]
    with serve(max_running=4) as server:
        # What only the first run pays is not what is compared.
        warm = Client(server)
        warm.submit("true")
        warm.close()
        with SERVERS[name](server, child, measurement.viewers) as target:
            told = watch(target, measurement.viewers, *measurement.options)
    return measurement.figures(told)


def table(title: str, samples: dict[str, list[Sample]], base: str) -> str:
    """One Markdown table: a row a server, its medians, and their ratio to those of `base`."""
    names = list(next(iter(samples.values()))[0])
    medians = {
        server: {name: median([sample[name] for sample in taken]) for name in names}
        for server, taken in samples.items()
    }
    rows = [f"| {title} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for server, figures in medians.items():
        cells = [
            f"{figures[name]:.3g} ({figures[name] / medians[base][name]:.2f}x)"
            if medians[base][name]
            else f"{figures[name]:.3g}"
            for name in names
        ]
        rows.append(f"| {server} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def versions() -> str:
    """What was measured, and on what."""
    node_version = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    lock = json.loads((HERE / "peers" / "package-lock.json").read_text("utf-8"))["packages"]
    others = ", ".join(
        f"{name} {lock[f'node_modules/{name}']['version']}" for name in ("socket.io", "ws")
    )
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Linux {os.uname().release}, Python {python}, Node {node_version}, {others}"
    )


def main() -> None:
    """Measure, print Markdown tables, and keep all figures in a JSON file."""
    parser = argparse.ArgumentParser(prog="streams", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the output")
    parser.add_argument("--only", default="", help="measurements whose name holds this")
    options = parser.parse_args()
    need_programs(HERE / "peers")
    if shutil.which("websocketd") is None:
        print("websocketd is not installed, and left out\n")
    kept: dict[str, dict[str, list[Sample]]] = {}
    print(f"{versions()}; medians of {options.repeat} (ratio to Node + Socket.IO)\n")
    for measurement in measurements(quick=options.quick):
        if options.only in measurement.name:
            samples: dict[str, list[Sample]] = {name: [] for name in peers(measurement)}
            for _ in range(options.repeat):
                for name, taken in samples.items():
                    taken.append(take(measurement, name))
            kept[measurement.name] = samples
            print(table(measurement.name, samples, next(iter(SERVERS))) + "\n", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "streams.json").write_text(json.dumps({"on": versions(), "samples": kept}, indent=1))


if __name__ == "__main__":
    main()
