"""How fast runs go through the whole system: submit, record, run, record.

A real server is asked over its Unix socket. "One after the other": submit, follow the output to
its end, submit the next. "N at once": many runs are submitted as fast as they are taken, and the
server runs N of them side by side; the time is from the first submit to the last run's end.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from bench._served import Client, Server, median, serve, wait_idle

_NO_CONDITIONS: Mapping[str, object] = MappingProxyType({})
_LIMITS: Mapping[str, object] = MappingProxyType(
    {
        "limits": {"nofile": 512, "core": 0, "stack": "8M", "data": "4G", "cpu_time": "1h"},
        "nice": 0,
        "ionice": "best-effort",
        "umask": "027",
    }
)
_CONDITIONS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {"without limits": _NO_CONDITIONS, "with five limits, nice, ionice and umask": _LIMITS}
    | (
        {"with these, as another user": {**_LIMITS, "user": "nobody", "cwd": "/"}}
        if not os.geteuid()
        else {}
    )
)
_TURN = 5


class Rate(Struct, frozen=True):
    """Runs per second, and the server process's CPU time for one."""

    per_s: float
    cpu_ms: float


class Latency(Struct, frozen=True):
    """From just before the submit, in ms."""

    accepted: float
    first_byte: float
    complete: float


def first_bytes(
    server: Server, count: int, conditions: Mapping[str, object] = _NO_CONDITIONS
) -> Sequence[Latency]:
    """Submit `echo` under these conditions and follow it, again and again."""
    client = Client(server)
    results = []
    for _ in range(count):
        start = time.perf_counter()
        run_id = client.submit("echo", "hello", **conditions)
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


def conditions_cost(server: Server, count: int) -> Mapping[str, Sequence[Latency]]:
    """`first_bytes` under each of `_CONDITIONS`, by turns, since a machine has its moments."""
    found: dict[str, list[Latency]] = {name: [] for name in _CONDITIONS}
    for _ in range(count // _TURN):
        for name, conditions in _CONDITIONS.items():
            found[name] += first_bytes(server, _TURN, conditions)
    return found


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="runs", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--count", type=int, default=500, help="runs in each measurement")
    parser.add_argument("--quick", action="store_true", help="a fifth of the runs, and only once")
    options = parser.parse_args()
    if options.quick:
        options.repeat, options.count = 1, options.count // 5
    latencies: list[Latency] = []
    rates: dict[int, list[Rate]] = {1: [], 50: []}
    under: dict[str, list[Latency]] = {name: [] for name in _CONDITIONS}
    for _ in range(options.repeat):
        for at_once, found in rates.items():
            with serve(max_running=at_once) as server:
                rate(server, 20)  # what only the first ones pay
                found.append(rate(server, options.count))
                if at_once == 1:
                    latencies += first_bytes(server, options.count // 10)
                    for name, more in conditions_cost(server, options.count // 5).items():
                        under[name] += more
    busy = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {busy:.1f}, medians of {options.repeat}\n")
    print("| whole system | figure |")
    print("|---|---|")
    for name in Latency.__struct_fields__:
        value = median([getattr(latency, name) for latency in latencies])
        print(f"| submitted to {name.replace('_', ' ')} | {value:.1f} ms |")
    for name, seen in under.items():
        value = median([latency.complete for latency in seen])
        print(f"| submitted to complete, {name} | {value:.2f} ms |")
    for at_once, found in rates.items():
        per_s = median([it.per_s for it in found])
        cpu = median([it.cpu_ms for it in found])
        print(f"| runs of `true`, {at_once} at once | {per_s:.0f}/s, {cpu:.2f} ms server CPU |")
    print()


if __name__ == "__main__":
    main()
