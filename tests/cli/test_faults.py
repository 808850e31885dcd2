"""A whole server without descriptors: runs fail with a reason, it answers, and goes on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from supervisor.model import Reason, Status
from supervisor.testing import wait_until
from tests.cli.conftest import Server, serving
from tests.patience import PATIENCE_S

COUNT = 12
SPARE = 25
"""Enough for the first runs, which hold four each or more, and for far from all of them."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with room for all runs at once, so that none has to wait for one to fail."""
    with serving(Server(tmp_path, f"max_running = {COUNT}")) as server:
        yield server


async def test_without_descriptors_runs_fail_and_the_next_works_when_some_are_free(
    server: Server,
) -> None:
    assert server.process is not None
    # What only the first run opens is then there: the launcher and its socket.
    server.output("run", "--", "true")
    pid = server.process.pid
    limit = len(list(Path(f"/proc/{pid}/fd").iterdir())) + SPARE
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    runs = [server.submit("--", "sleep", "600") for _ in range(COUNT)]

    def settled() -> bool:
        views = [server.run_view(run) for run in runs]
        return all(view.status in {Status.RUNNING, Status.FAILED} for view in views)

    with trio.fail_after(PATIENCE_S):
        await wait_until(settled)
    views = [server.run_view(run) for run in runs]
    failed = [view for view in views if view.status is Status.FAILED]
    assert 0 < len(failed) < COUNT
    for view in failed:
        assert view.reason is Reason.START_FAILED
        assert view.message.endswith("Too many open files"), view.message
    going = [view.id for view in views if view.status is Status.RUNNING]
    server.output("cancel", "--wait", *going)
    assert server.run("run", "--", "sh", "-c", "exit 3").returncode == 3
