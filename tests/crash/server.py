"""A server that dies on purpose, on a state directory that stays, and what can be seen of it."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from supervisor.client.address import socket_address
from supervisor.client.api import Client, RunFilter
from supervisor.client.refusal import refusal
from supervisor.wire import RunView
from tests.crash.mortal import Mortals

PATIENCE_S = 120.0
LINES = 3000
ENDLESS = frozenset({"long", "screen", "stubborn"})
"""The jobs whose runs end only when they are stopped."""
# What a run did is written to a file of its own, so that nobody has to be believed.
JOBS = f"""
[supervisor]
max_running = 8
log_sync = "100ms"
process_tracking = "TRACKING"

[jobs.brief]
shell = "printf b >> $RUNWIRE_RUN_ID; echo 0; echo 0 >&2; printf e >> $RUNWIRE_RUN_ID"

[jobs.chatty]
shell = "printf b >> $RUNWIRE_RUN_ID; i=0; while [ $i -lt {LINES} ]; do echo $i; [ $((i % 10)) = 0 ] && echo $i >&2; i=$((i + 1)); done; printf e >> $RUNWIRE_RUN_ID"

[jobs.trimmed]
shell = "printf b >> $RUNWIRE_RUN_ID; for part in 1 2 3 4 5; do seq 0 9999; sleep 0.15; done; printf e >> $RUNWIRE_RUN_ID"
max_log = "64KiB"
on_full = "truncate-head"

[jobs.long]
shell = "setsid sleep 300 & (sleep 300 &) ; printf b >> $RUNWIRE_RUN_ID; echo 0; sleep 300"
stop = {{ signal = "TERM", grace = "300ms" }}

[jobs.held]
shell = "printf b >> $RUNWIRE_RUN_ID; echo 0; (sleep 0.3; echo 1) & printf e >> $RUNWIRE_RUN_ID"

[jobs.screen]
shell = "printf b >> $RUNWIRE_RUN_ID; echo 0; sleep 300"
output = "pty"
stop = {{ signal = "TERM", grace = "300ms" }}

[jobs.stubborn]
shell = "trap '' TERM; printf b >> $RUNWIRE_RUN_ID; echo 0; while :; do sleep 1; done"
stop = {{ signal = "TERM", grace = "200ms" }}
"""


class Server:
    """`runwire serve` in `directory`, killed and started as often as needed."""

    def __init__(self, directory: Path) -> None:
        """Starts none."""
        self.directory = directory
        self.state = directory / "s"
        self.client = Client(socket_address(str(self.state / "runwire.sock")), timeout_s=PATIENCE_S)
        self.configure("auto")
        self._stderr = (directory / "stderr").open("a", encoding="utf-8")
        self._mortals = Mortals(directory, self._stderr)
        self._pidfd = -1

    def configure(self, tracking: str, keeping: str = "") -> None:
        """How the processes of runs are to be tracked from the next start on.

        `keeping` says whether runs survive it (see `Mortals.start`).
        """
        self.keeping = keeping
        jobs = JOBS.replace("TRACKING", tracking)
        (self.directory / "jobs.toml").write_text(jobs, "utf-8")

    def start(self, point: str = "", nth: int = 1) -> bool:
        """Returns once it accepts connections, or False once it has died before that."""
        read, write = os.pipe()
        arguments = ["serve", "--bind", "127.0.0.1:0", "--state-dir", "s", "--dev"]
        pid = self._mortals.start(point, nth, arguments, write, self.keeping)
        self._pidfd = os.pidfd_open(pid)
        os.close(write)
        with os.fdopen(read) as stdout:
            if stdout.readline().startswith("runwire serves"):
                return True
        self.wait_died(PATIENCE_S)
        return False

    def wait_died(self, patience_s: float) -> int | None:
        """Its exit code, -9 for SIGKILL; None if it lives on for `patience_s`."""
        if self._pidfd < 0:
            return -9
        if not select.select([self._pidfd], [], [], patience_s)[0]:
            return None
        os.close(self._pidfd)
        self._pidfd = -1
        return self._mortals.wait()

    def end(self, how: signal.Signals) -> int | None:
        """Returns its exit code once it is gone."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, how)
        return self.wait_died(PATIENCE_S)

    def close(self) -> None:
        """Leave nothing running."""
        self.end(signal.SIGKILL)
        self._mortals.close()
        self._stderr.close()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def delete(self, run_id: str) -> None:
        """Ask for a run to be forgotten. Raises as the other calls of the client."""
        with self.client._exchange("DELETE", f"/runs/{run_id}", None) as response:
            if response.status >= 300:
                raise refusal(response.status, response.read())

    def runs(self) -> dict[str, RunView]:
        """All runs that it knows."""
        found: dict[str, RunView] = {}
        before: str | None = None
        while True:
            page = self.client.runs(RunFilter(limit=1000, before=before)).value
            found |= {run.id: run for run in page.runs}
            if page.next is None:
                return found
            before = page.next

    def written(self, run_id: str) -> str:
        """What the run wrote to its file."""
        with suppress(FileNotFoundError):
            return (self.directory / run_id).read_text("ascii")
        return ""

    def processes(self) -> Mapping[int, str]:
        """The processes that work in its directory, by pid: the server, its launcher, its runs."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "cwd").readlink() == self.directory:
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if command:  # the others are zombies
                        found[int(process.name)] = command
        return found

    def wait_none_left(self) -> Mapping[int, str]:
        """What is left of the processes after all patience; nothing, one hopes."""
        give_up_at = time.monotonic() + PATIENCE_S
        while (left := self.processes()) and time.monotonic() < give_up_at:
            time.sleep(0.02)
        return left
