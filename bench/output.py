"""How fast a run's output gets to disk, and to a viewer, through the whole server.

A real server runs programs that write. "unwatched": nobody reads; the time is the run's own, from
its start to the end of its output. "followed": a client reads `/runs/{id}/log?follow=1` over the
Unix socket as it comes; the time is from the submit to its last byte. "late": the client asks for
the whole log when the run is over. CPU is that of the server process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from bench._served import Client, Server, median, serve
from bench.pipe_to_disk import MB, WRITERS, Writer


class Sample(Struct, frozen=True):
    """One measurement."""

    mb_per_s: float
    cpu_s_per_gb: float


def unwatched(client: Client, run_id: str) -> float:
    """Seconds from the run's start to its end, as recorded."""
    while client.run(run_id)["ended_at"] is None:
        time.sleep(0.02)
    duration: float = client.run(run_id)["duration_s"]
    return duration


def followed(client: Client, run_id: str) -> float:
    """Seconds until a viewer has the last byte."""
    start = time.perf_counter()
    for _chunk in client.follow(run_id):
        pass
    return time.perf_counter() - start


def late(client: Client, run_id: str) -> float:
    """Seconds to read all of it when it is there."""
    unwatched(client, run_id)
    return followed(client, run_id)


WAYS: dict[str, Callable[[Client, str], float]] = {
    "unwatched": unwatched,
    "followed": followed,
    "late": late,
}


def measure(server: Server, writer: Writer, way: Callable[[Client, str], float]) -> Sample:
    """Submit the writer and see it through in one way."""
    client = Client(server)
    size = writer.size_mb * MB
    cpu = server.cpu_s()
    run_id = client.submit(sys.executable, "-c", writer.source.format(size=size))
    taken = way(client, run_id)
    cpu = server.cpu_s() - cpu
    unwatched(client, run_id)  # its end may come after its last byte
    client.ask("DELETE", f"/runs/{run_id}")
    client.close()
    return Sample(size / MB / taken, cpu / (size / 1e9))


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="output", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=None, help="where logs are written")
    parser.add_argument("--quick", action="store_true", help="only once")
    options = parser.parse_args()
    options.repeat = 1 if options.quick else options.repeat
    samples: dict[tuple[str, str], list[Sample]] = {}
    with serve(max_running=1, where=options.directory) as server:
        for _ in range(options.repeat):
            for writer in WRITERS:
                for name, way in WAYS.items():
                    sample = measure(server, writer, way)
                    samples.setdefault((writer.name, name), []).append(sample)
    busy = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {busy:.1f}, medians of {options.repeat}: ", end="")
    print("MB/s (server CPU s/GB)\n")
    print("| writer |", " | ".join(WAYS), "|")
    print("|---" * (len(WAYS) + 1) + "|")
    for writer in WRITERS:
        cells = []
        for name in WAYS:
            found = samples[writer.name, name]
            speed = median([it.mb_per_s for it in found])
            cells.append(f"{speed:.0f} ({median([it.cpu_s_per_gb for it in found]):.2f})")
        print(f"| {writer.name} |", " | ".join(cells), "|")
    print()


if __name__ == "__main__":
    main()
