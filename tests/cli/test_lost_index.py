"""A log that was cut in front, and whose index is gone, shows nothing that the run did not write."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from supervisor.log.logfile import index_path
from supervisor.testing import wait_until
from tests.cli.conftest import Server, serving
from tests.patience import PATIENCE_S

LINES = "\n".join(map(str, range(60_000))).encode() + b"\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose logs may be 64 KiB long."""
    limits = 'max_log = "64KiB"\non_full = "truncate-head"\nlog_sync = "50ms"'
    with serving(Server(tmp_path, limits)) as server:
        yield server


@pytest.mark.parametrize("restarted", [True, False])
def test_of_an_ended_run(server: Server, tmp_path: Path, restarted: bool) -> None:
    run_id = "lost"
    server.run("run", "--id", run_id, "--shell", "seq 0 59999")
    if restarted:
        server.stop()
    index_path(server.state / "logs", run_id).unlink()
    backup = server.run("backup", "--state-dir", str(server.state), str(tmp_path / "backup"))
    assert backup.returncode == 0
    copy = (tmp_path / "backup" / "logs" / f"{run_id}.log").stat()
    assert copy.st_size == len(LINES)
    assert copy.st_blocks * 512 < len(LINES) / 2
    if restarted:
        server.start()
    told = server.run("logs", run_id)
    oldest = server.run_view(run_id).log.oldest
    assert 0 < oldest < len(LINES)
    assert told.stdout == LINES[oldest:]
    assert server.get(f"/runs/{run_id}/log?from={oldest}") == LINES[oldest:]


async def test_of_a_run_that_a_killed_server_left(server: Server) -> None:
    run_id = server.submit("--shell", "seq 0 59999; sleep 600")
    with trio.fail_after(PATIENCE_S):
        await wait_until(lambda: server.run_view(run_id).log.oldest > 0)
        server.stop(signal.SIGKILL)
        index_path(server.state / "logs", run_id).unlink()
        server.start()
        await wait_until(lambda: server.run_view(run_id).status.ended)
    oldest = server.run_view(run_id).log.oldest
    assert 0 < oldest < len(LINES)
    assert server.run("logs", run_id).stdout == LINES[oldest:]
