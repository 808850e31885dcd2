"""A real server that is killed: every answered run is known, none runs twice, nothing is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from supervisor.client.address import socket_address
from supervisor.client.api import Client, RunFilter
from supervisor.errors import RunEnded, ServerUnreachable
from supervisor.model import Reason, Status
from supervisor.processes import procfs
from supervisor.wire import CancelRequest, RunView, SubmitRequest

TOP = Path(__file__).parents[1]
MAIN = "from supervisor.cli.main import main; main()"
# What a run does is written to a file of its own, so that nobody has to be believed.
JOBS = """
[supervisor]
max_running = 20

[jobs.long]
shell = "setsid sleep 300 & (sleep 300 &) ; printf b >> $RUNWIRE_RUN_ID; sleep 300"
stop = { signal = "TERM", grace = "1s" }

[jobs.short]
shell = "printf b >> $RUNWIRE_RUN_ID; echo out; echo err >&2; printf e >> $RUNWIRE_RUN_ID"

[jobs.brief]
shell = "printf b >> $RUNWIRE_RUN_ID; echo out; sleep 0.1; printf e >> $RUNWIRE_RUN_ID"
concurrency = 5
"""


class Server:
    """`runwire serve` on one state directory, killed and started as often as needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.client = Client(socket_address(str(directory / "s" / "runwire.sock")))
        self._process: subprocess.Popen[str] | None = None
        (directory / "jobs.toml").write_text(JOBS)

    def start(self) -> None:
        """Returns once it accepts connections."""
        arguments = ["serve", "--bind", "127.0.0.1:0", "--state-dir", "s", "--dev"]
        with (self.directory / "stderr").open("a") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-c", MAIN, *arguments],
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(TOP)},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("runwire serves"), (self.directory / "stderr").read_text()

    def end(self, how: signal.Signals) -> int:
        """Returns its exit status once it is gone."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.communicate(timeout=120)
        return self._process.returncode

    def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self.end(signal.SIGKILL)
        for process in self.processes():
            procfs.send_signal(process, "KILL")

    def submit(self, job: str, run_id: str) -> RunView:
        return self.client.submit(SubmitRequest(job=job, id=run_id)).value

    def runs(self) -> dict[str, RunView]:
        return {run.id: run for run in self.client.runs(RunFilter(limit=1000)).value.runs}

    def written(self, run_id: str) -> str:
        """What the run wrote to its file."""
        file = self.directory / run_id
        return file.read_text() if file.exists() else ""

    def processes(self) -> list[procfs.ProcessStat]:
        """Every process of any of its runs."""
        instance = (self.directory / "s" / "instance").read_bytes().split()[0]
        return [
            process
            for process in procfs.living()
            if procfs.environment(process.pid).get(b"RUNWIRE_INSTANCE") == instance
        ]

    def wait_ended(self, run_ids: Sequence[str]) -> dict[str, RunView]:
        """All of these runs, once they have ended."""
        until(lambda: all(self.runs()[run_id].status.ended for run_id in run_ids))
        return self.runs()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.close()


def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; other processes are looked at, and nothing tells of them."""
    give_up_at = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_killed_server_loses_no_run_and_runs_none_twice(server: Server) -> None:
    """Twenty are running and thirty wait: the former are lost, the latter run, once."""
    running = [server.submit("long", f"long-{number}").id for number in range(20)]
    until(lambda: all(server.written(run_id) for run_id in running))
    queued = [server.submit("short", f"short-{number}").id for number in range(30)]
    until(lambda: len(server.processes()) == 80)
    assert {run.status for run in server.runs().values()} == {Status.RUNNING, Status.QUEUED}
    server.end(signal.SIGKILL)
    server.start()
    runs = server.wait_ended([*running, *queued])
    assert set(runs) == {*running, *queued}
    for run_id in running:
        run = runs[run_id]
        assert (run.status, run.reason) == (Status.FAILED, Reason.LOST)
        assert run.output_complete is False
        assert len(run.killed) == 4
        assert server.written(run_id) == "b"
    for run_id in queued:
        assert runs[run_id].status is Status.SUCCEEDED
        assert server.written(run_id) == "be"
        assert sorted(b"".join(server.client.log(run_id)).split()) == [b"err", b"out"]
    assert server.processes() == []


@pytest.mark.parametrize("seed", range(2))
def test_kills_at_any_moment_and_again_and_again(server: Server, seed: int) -> None:
    """While runs are submitted, start, write and end."""
    dice = random.Random(seed)
    run_ids = [f"run-{number}" for number in range(60)]
    answered: list[str] = []

    def submit_all() -> None:
        while len(answered) < len(run_ids):
            with suppress(ServerUnreachable):  # asked again, by the same id
                answered.append(server.submit("brief", run_ids[len(answered)]).id)

    submitter = threading.Thread(target=submit_all)
    submitter.start()
    for _ in range(5):
        time.sleep(dice.uniform(0.0, 0.5))
        server.end(signal.SIGKILL)
        server.start()
    submitter.join(120)
    assert answered == run_ids
    runs = server.wait_ended(run_ids)
    assert set(runs) == set(run_ids)
    for run in runs.values():
        written = server.written(run.id)
        if run.status is Status.SUCCEEDED:
            assert written == "be"
            assert b"".join(server.client.log(run.id)) == b"out\n"
        else:
            assert (run.status, run.reason) == (Status.FAILED, Reason.LOST)
            assert written in {"", "b", "be"}
            assert b"".join(server.client.log(run.id)) in {b"", b"out\n"}
    assert server.processes() == []
    # Nearly all of them ran: a kill hits at most the five that were running.
    assert sum(run.status is Status.SUCCEEDED for run in runs.values()) >= 60 - 5 * 5


def test_kills_while_runs_are_cancelled(server: Server) -> None:
    """Whatever was answered, no process of a cancelled run is left."""
    dice = random.Random(1)
    run_ids = [f"long-{number}" for number in range(20)]
    for number in range(0, 20, 10):
        batch = [server.submit("long", run_id).id for run_id in run_ids[number : number + 10]]
        until(lambda batch=batch: all(map(server.written, batch)))  # type: ignore[misc]
        threads = [threading.Thread(target=cancel, args=(server, run_id)) for run_id in batch]
        for thread in threads:
            thread.start()
        time.sleep(dice.uniform(0.0, 0.1))
        server.end(signal.SIGKILL)
        server.start()
        for thread in threads:
            thread.join(120)
    runs = server.wait_ended(run_ids)
    for run in runs.values():
        assert (run.status, run.reason) in {
            (Status.CANCELLED, None),
            (Status.FAILED, Reason.LOST),
        }
        assert server.written(run.id) == "b"
    escaped = {process.pid for process in server.processes()}
    named = {pid for run in runs.values() for pid in run.killed}
    assert not escaped & named
    server.client.submit(SubmitRequest(job="short", id="after"))
    assert server.wait_ended(["after"])["after"].status is Status.SUCCEEDED


def cancel(server: Server, run_id: str) -> None:
    with suppress(ServerUnreachable, RunEnded):
        server.client.cancel(run_id, CancelRequest())


def test_a_server_told_to_stop_leaves_nothing_running(server: Server) -> None:
    """And what waited waits for the next one."""
    running = [server.submit("long", f"long-{number}").id for number in range(20)]
    until(lambda: all(server.written(run_id) for run_id in running))
    queued = [server.submit("short", f"short-{number}").id for number in range(5)]
    assert server.end(signal.SIGTERM) == 0
    assert [server.written(run_id) for run_id in queued] == [""] * 5
    server.start()
    runs = server.wait_ended([*running, *queued])
    assert {runs[run_id].status for run_id in running} == {Status.CANCELLED}
    assert {runs[run_id].status for run_id in queued} == {Status.SUCCEEDED}
    assert {server.written(run_id) for run_id in queued} == {"be"}
