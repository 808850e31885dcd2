"""Runs of `true` a second: Runwire's whole way (submit, record, run, record) against others.

Runwire is asked over its Unix socket and has each step on disk. Node only spawns the program and
waits for it. `tsp` (task spooler) queues it by a command for each; Supervisor starts a group of
as many. What is not installed is left out. 1 and 50 run at a time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._kept import keep
from bench._served import Client, median, serve
from bench.runs import rate

NODE = """
const { spawn } = require('child_process');
let left = COUNT, ended = 0;
function next() {
  if (left-- <= 0) return;
  const child = spawn('true', { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.resume(); child.stderr.resume();
  child.on('close', () => { ended++; next(); });
}
for (let i = 0; i < AT_ONCE; i++) next();
"""


def runwire(count: int, at_once: int) -> float:
    """Runs a second."""
    with serve(max_running=at_once) as server:
        rate(server, 20)  # what only the first ones pay
        return rate(server, count).per_s


def node(count: int, at_once: int) -> float:
    """Spawns a second, Node's own start left out."""

    def took(number: int) -> float:
        script = NODE.replace("COUNT", str(number)).replace("AT_ONCE", str(at_once))
        begun = time.perf_counter()
        subprocess.run(["node", "-e", script], check=True)
        return time.perf_counter() - begun

    start = took(1)
    return (count - 1) / max(1e-9, took(count) - start)


def tsp(count: int, at_once: int) -> float:
    """Tasks a second, with a server of its own."""
    with TemporaryDirectory() as name:
        env = {**os.environ, "TS_SOCKET": f"{name}/socket", "TMPDIR": name, "TS_MAXFINISHED": "10"}
        subprocess.run(["tsp", "-S", str(at_once)], env=env, check=True)
        begun = time.perf_counter()
        for _ in range(count):
            subprocess.run(["tsp", "-n", "true"], env=env, stdout=subprocess.DEVNULL, check=True)
        while _unfinished(env):
            time.sleep(0.01)
        took = time.perf_counter() - begun
        subprocess.run(["tsp", "-K"], env=env, check=True)
        return count / took


def _unfinished(env: dict[str, str]) -> bool:
    """Whether a task of this server waits or runs."""
    listed = subprocess.run(["tsp"], env=env, capture_output=True, text=True, check=True).stdout
    return "queued" in listed or "running" in listed


def supervisord(count: int, _at_once: int) -> float:
    """Programs a second, started as one group, which Supervisor does all at a time."""
    with TemporaryDirectory() as name:
        config = Path(name) / "supervisord.conf"
        program = f"command=true\nnumprocs={count}\nprocess_name=%(process_num)d\nstartsecs=0"
        config.write_text(
            f"[supervisord]\nlogfile={name}/log\npidfile={name}/pid\nchildlogdir={name}\n"
            f"[unix_http_server]\nfile={name}/sock\n[supervisorctl]\nserverurl=unix://{name}/sock\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[program:it]\n{program}\nautostart=false\nautorestart=false\n"
        )
        control = ["supervisorctl", "-c", str(config)]
        with subprocess.Popen(["supervisord", "-n", "-c", config], stdout=-3) as server:
            while subprocess.run([*control, "pid"], capture_output=True, check=False).returncode:
                time.sleep(0.1)
            begun = time.perf_counter()
            subprocess.run([*control, "start", "it:*"], capture_output=True, check=False)
            took = time.perf_counter() - begun
            server.terminate()
    return count / took


def cancelled_ms(count: int) -> float:
    """From the request to cancel a run of two processes until nothing of it is left, as recorded."""
    took = []
    with serve(max_running=4) as server:
        client = Client(server)
        for _ in range(count):
            run_id = client.submit("sh", "-c", "sleep 600 & echo ready; wait")
            next(client.follow(run_id))
            client.close()
            client = Client(server)  # the other one still follows
            client.ask("POST", f"/runs/{run_id}/cancel", b"{}")
            while (run := client.run(run_id))["ended_at"] is None:
                time.sleep(0.005)
            asked, ended = (
                datetime.fromisoformat(run[key]) for key in ("cancel_requested_at", "ended_at")
            )
            took.append((ended - asked).total_seconds() * 1e3)
        client.close()
    return median(took)


WAYS: dict[str, tuple[str | None, Callable[[int, int], float]]] = {
    "Runwire": (None, runwire),
    "Node spawn": ("node", node),
    "tsp": ("tsp", tsp),
    "Supervisor": ("supervisord", supervisord),
}


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="spawns", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a fifth of it, and only once")
    options = parser.parse_args()
    repeat, count = (1, 100) if options.quick else (options.repeat, 500)
    found: dict[str, list[float]] = {}
    for _ in range(repeat):
        for at_once in (1, 50):
            for name, (program, way) in WAYS.items():
                if program is None or shutil.which(program):
                    found.setdefault(f"{name}, {at_once} at once, runs/s", []).append(
                        way(count, at_once)
                    )
    for name, (program, _way) in WAYS.items():
        if program is not None and not shutil.which(program):
            print(f"{name} is not installed, and left out\n")
    figures = {name: median(taken) for name, taken in found.items()}
    keep("spawns", figures | {"cancel to the tree gone, ms": cancelled_ms(count // 20)})


if __name__ == "__main__":
    main()
