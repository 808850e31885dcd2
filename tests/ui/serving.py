"""A real server in a process of its own, for pages to be opened from."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.patience import PATIENCE_S

RUNWIRE = Path(sys.executable).with_name("runwire")
TOKEN = "devtoken"
JOBS = r"""
[jobs.both]
description = "Writes to both streams"
shell = "echo to stdout; sleep 0.2; echo to stderr >&2; sleep 0.2; echo again"
tags = ["demo"]

[jobs.failing]
shell = "echo before; echo what went wrong >&2; exit 3"

[jobs.stubborn]
description = "Does not stop when asked"
shell = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
stop = { grace = "1h" }

[jobs.forever]
shell = "echo ready; sleep 600"
stop = { grace = "5s" }

[jobs.form]
description = "Has a parameter of each type"
command = ["printf", "%s\n", "{count}", "{ratio}", "{word}", "{color}", "{loud}"]
params.count = { type = "int", min = 1, max = 8, default = 2, description = "How many" }
params.ratio = { type = "float", default = 0.5 }
params.word = { type = "string", pattern = "[a-z]+" }
params.color = { type = "choice", choices = ["red", "green"], default = "green" }
params.loud = { type = "bool", default = false }
"""


class Server:
    """A running server: its address, and its API for what a test has to arrange."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.api = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S)

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 80

    def start(self, **request: object) -> str:
        """Submit a run; its id."""
        answer = self.api.post("runs", json=request)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        answer = self.api.get(f"runs/{run_id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def ended(self, run_id: str) -> dict[str, Any]:
        """The run once it has ended: the end of its log is waited for."""
        with self.api.stream("GET", f"runs/{run_id}/log?follow=1") as answer:
            for _ in answer.iter_raw():
                pass
        deadline = time.monotonic() + PATIENCE_S
        while (run := self.run(run_id))["ended_at"] is None:
            assert time.monotonic() < deadline, run
        return run

    def log(self, run_id: str) -> bytes:
        return self.api.get(f"runs/{run_id}/log").content

    def cancel_all(self) -> None:
        """Leave nothing running for the next test."""
        for status in ("running", "queued"):
            for run in self.api.get("runs", params={"status": status, "limit": 1000}).json()[
                "runs"
            ]:
                self.api.post(f"runs/{run['id']}/cancel", json={"force": True})


@contextmanager
def serving(
    directory: Path, *, port: int = 0, jobs: str = JOBS, dev: bool = True
) -> Iterator[Server]:
    """A server with its state in `directory`, stopped at the end."""
    (directory / "jobs.toml").write_text(jobs)
    state = str(directory / "state")
    command = [str(RUNWIRE), "serve", "--bind", f"127.0.0.1:{port}", "--state-dir", state]
    with (directory / "server.log").open("a") as log:
        process = subprocess.Popen(
            [*command, "--dev"] if dev else command,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("runwire serves "), (directory / "server.log").read_text()
        server = Server(line.split()[2], process)
        with server.api:
            yield server
    finally:
        if process.poll() is None:
            # The second signal kills what does not stop by itself.
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()
