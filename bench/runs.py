"""How fast runs go through the whole system: submit, record, run, record.

A real server is asked over its Unix socket. "One after the other": submit, follow the output to
its end, submit the next. "N at once": many runs are submitted as fast as they are taken, and the
server runs N of them side by side; the time is from the first submit to the last run's end.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

from msgspec import Struct

from bench._served import Client, Server, median, serve, wait_idle


class Rate(Struct, frozen=True):
    """Runs per second, and the server process's CPU time for one."""

    per_s: float
    cpu_ms: float


class Latency(Struct, frozen=True):
    """From just before the submit, in ms."""

    accepted: float
    first_byte: float
    complete: float


def first_bytes(server: Server, count: int) -> Sequence[Latency]:
    """Submit `echo` and follow it, again and again."""
    client = Client(server)
    results = []
    for _ in range(count):
        start = time.perf_counter()
        run_id = client.submit("echo", "hello")
        accepted = time.perf_counter()
        first = 0.0
        for _chunk in client.follow(run_id):
            first = first or time.perf_counter()
        done = time.perf_counter()
        results.append(
            Latency((accepted - start) * 1e3, (first - start) * 1e3, (done - start) * 1e3)
        )
    client.close()
    return results


def rate(server: Server, count: int) -> Rate:
    """Submit `true` `count` times without waiting for any, then wait for all."""
    client = Client(server)
    cpu, start = server.cpu_s(), time.perf_counter()
    for _ in range(count):
        client.submit("true")
    wait_idle(client)
    taken = time.perf_counter() - start
    client.close()
    return Rate(count / taken, (server.cpu_s() - cpu) / count * 1e3)


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="runs", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--count", type=int, default=500, help="runs in each measurement")
    options = parser.parse_args()
    latencies: list[Latency] = []
    rates: dict[int, list[Rate]] = {1: [], 50: []}
    for _ in range(options.repeat):
        for at_once, found in rates.items():
            with serve(max_running=at_once) as server:
                rate(server, 20)  # what only the first ones pay
                found.append(rate(server, options.count))
                if at_once == 1:
                    latencies += first_bytes(server, options.count // 10)
    busy = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {busy:.1f}, medians of {options.repeat}\n")
    print("| whole system | figure |")
    print("|---|---|")
    for name in Latency.__struct_fields__:
        value = median([getattr(latency, name) for latency in latencies])
        print(f"| submitted to {name.replace('_', ' ')} | {value:.1f} ms |")
    for at_once, found in rates.items():
        per_s = median([it.per_s for it in found])
        cpu = median([it.cpu_ms for it in found])
        print(f"| runs of `true`, {at_once} at once | {per_s:.0f}/s, {cpu:.2f} ms server CPU |")
    print()


if __name__ == "__main__":
    main()
