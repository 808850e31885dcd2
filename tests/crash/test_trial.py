"""A short form of the trial: it passes, it begins well at every first step, and it can fail."""

from __future__ import annotations

import itertools
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from supervisor.errors import ServerUnreachable
from supervisor.log.logfile import log_path
from supervisor.wire import SubmitRequest
from tests.crash.points import AT_STOP, FIRST_POINTS
from tests.crash.promises import Ledger, check_all, check_journal
from tests.crash.server import PATIENCE_S, Server
from tests.crash.trial import Way, attempt


@pytest.mark.parametrize("way", [("subreaper", ""), ("auto", "tells"), ("auto", "watched")])
def test_a_server_that_dies_again_and_again_keeps_its_promises(tmp_path: Path, way: Way) -> None:
    """Ten deaths; `./dev bench crash` goes on for as long as one likes."""
    figures = attempt(tmp_path, seed=1, seconds=0.1, ways=[way])
    assert figures.broken == ()
    assert figures.deaths.total() + figures.stops == 10
    assert figures.runs > 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        yield server
    finally:
        server.close()


def test_a_first_start_that_is_killed_can_be_repeated(server: Server) -> None:
    for point in FIRST_POINTS:
        assert not server.start(point), f"it was never {point}"
        assert server.start()
        assert server.client.submit(SubmitRequest(job="brief", id="first")).value.id == "first"
        server.end(signal.SIGTERM)
        shutil.rmtree(server.state)


@pytest.mark.parametrize("point", AT_STOP)
def test_a_run_that_was_being_started_when_the_server_was_told_to_stop_runs_once(
    server: Server, point: str
) -> None:
    """It waits again, whether the server gets to record that or not."""
    ledger = Ledger()
    for number in itertools.count():
        assert server.start(point)
        run_id = f"r{number}"
        ledger.expect(run_id, "brief")
        with suppress(ServerUnreachable):
            server.client.submit(SubmitRequest(job="brief", id=run_id))
            ledger.runs[run_id].acknowledged = True
        # Now and then the run has started before the server hears that it is to stop.
        if server.wait_died(PATIENCE_S) == -signal.SIGKILL:
            break
    assert server.start()
    while any(not run.status.ended for run in server.runs().values()):
        pass
    check_all(server, ledger)
    assert ledger.broken == []


def test_promises_that_are_broken_are_noticed(server: Server) -> None:
    ledger = Ledger()
    server.start()
    for run_id in ("cut", "changed", "forgotten", "twice"):
        ledger.expect(run_id, "chatty")
        server.client.submit(SubmitRequest(job="chatty", id=run_id))
        ledger.runs[run_id].acknowledged = True
    while any(not run.status.ended for run in server.runs().values()):
        pass
    check_all(server, ledger)
    check_journal(server.state, ledger)
    assert ledger.broken == []
    with log_path(server.state / "logs", "cut").open("r+b") as file:
        file.write(b"x")
    ledger.runs["changed"].reads(0, b"never written")
    server.delete("forgotten")
    with (server.directory / "twice").open("a") as file:
        file.write("be")
    check_all(server, ledger)
    assert {line.split()[0] for line in ledger.broken} == set(ledger.runs)
