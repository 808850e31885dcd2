"""What one who asks for much costs the others, and how fast he is served.

"flood": one run writes as much as it can, watched by one, and all of it is kept, or the last
50 MiB; the delay of another run's lines, 50 a second, with and without it. "search": a large log is
searched, again and again, while 100 viewers watch a run that writes 20 lines a second; the delay of
its lines, with and without. "catch-up": a viewer comes when a log is large, and reads all of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

import msgspec

from bench._kept import keep
from bench._served import TOKEN, Client, Server, serve
from bench.crowds import gated, viewers
from bench.streams import build

MB = 1_000_000


def delays(
    server: Server, rate: int, seconds: int, crowd: int, beside: list[str] | None = None
) -> dict[str, float]:
    """p50 and p99 in ms of a run's lines to so many viewers, while the command `beside` runs."""
    client, gate = Client(server), server.directory / f"gate-{time.monotonic_ns()}"
    emit = str(build("emit"))
    run_id = gated(client, gate, emit, "rate", str(rate), str(rate * seconds))
    with viewers(server, crowd, [run_id], "-e", "-l") as watching:
        other = subprocess.Popen(beside, stdout=subprocess.DEVNULL) if beside else None
        gate.touch()
        told: Any = msgspec.json.decode(watching.stdout.read())
        if other is not None:
            if other.poll() is not None:
                print("bench: what ran beside it ended too early", file=sys.stderr)
            other.kill()
            other.wait()
    client.close()
    return {name: told["lat_us"][name] / 1e3 for name in ("p50", "p99")}


def flood(seconds: int) -> dict[str, float]:
    """A run that writes as fast as it can, watched by one, beside another."""
    found: dict[str, float] = {}
    with serve(max_running=4) as server:
        for name, figure in delays(server, 50, seconds, 1).items():
            found[f"lines of a run alone, {name} ms"] = figure
    for what, max_log in {"a flood": None, "a flood that is cut": "50MiB"}.items():
        with serve(max_running=4, max_log=max_log) as server:
            client, gate = Client(server), server.directory / "flood"
            flooding = gated(client, gate, "sh", "-c", f"exec {build('emit')} lines 2000000000")
            with viewers(server, 1, [flooding]):
                gate.touch()
                for name, figure in delays(server, 50, seconds, 1).items():
                    found[f"lines of a run beside {what}, {name} ms"] = figure
            client.ask("POST", f"/runs/{flooding}/cancel", b'{"force": true}')
            client.close()
    return found


def large_log(client: Client, megabytes: int) -> str:
    """A run that has written so much, in lines of 100 bytes, each of its own number; its id."""
    lines = megabytes * MB // 100
    run_id = client.submit("seq", "-f", "line %-93.0f.", str(lines))
    while client.run(run_id)["ended_at"] is None:
        time.sleep(0.1)
    return run_id


def searched(megabytes: int, seconds: int) -> dict[str, float]:
    """Searches of a large log beside 100 viewers, and how long one of them takes."""
    found: dict[str, float] = {}
    with serve(max_running=4) as server:
        client = Client(server)
        run_id = large_log(client, megabytes)
        base = f"http://127.0.0.1:{server.port}/runs/{run_id}"
        ask = ["curl", "-sf", "-H", f"Authorization: Bearer {TOKEN}"]
        query = f"{base}/log/search?q=nowhere"
        begun = time.perf_counter()
        subprocess.run([*ask, query], stdout=subprocess.DEVNULL, check=True)
        found[f"search of {megabytes} MB, s"] = time.perf_counter() - begun
        alone = delays(server, 20, seconds, 100)
        again = ["sh", "-c", 'while :; do "$@" >/dev/null; done', "sh", *ask, query]
        beside = delays(server, 20, seconds, 100, again)
        for name in alone:
            found[f"lines to 100 viewers, {name} ms"] = alone[name]
            found[f"lines to 100 viewers beside searches, {name} ms"] = beside[name]
        found["added by searches to p99, ms"] = beside["p99"] - alone["p99"]
        found |= caught_up(server, run_id, megabytes)
        client.close()
    return found


def caught_up(server: Server, run_id: str, megabytes: int) -> dict[str, float]:
    """A late joiner of a large log: JSON and binary messages, and raw over HTTP."""
    found = {}
    for name, options in {
        "JSON": (),
        "binary": ("-H", "Sec-WebSocket-Protocol: runwire.binary"),
    }.items():
        with viewers(server, 1, [run_id], *options) as one:
            told: Any = msgspec.json.decode(one.stdout.read())
        found[f"late joiner of {megabytes} MB, {name}, MB/s"] = megabytes / told["secs"]
    client = Client(server)
    begun = time.perf_counter()
    for _chunk in client.follow(run_id):
        pass
    took = time.perf_counter() - begun
    found[f"late joiner of {megabytes} MB, over HTTP, MB/s"] = megabytes / took
    client.close()
    return found


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="fairness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    options = parser.parse_args()
    megabytes, seconds = (100, 2) if options.quick else (1000, 10)
    keep("fairness", flood(seconds) | searched(megabytes, seconds))


if __name__ == "__main__":
    main()
