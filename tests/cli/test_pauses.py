"""pause and resume on the command line."""

from __future__ import annotations

from tests.cli.conftest import Server, lines


def test_runs_are_paused_and_resumed(server: Server) -> None:
    runs = [server.submit("--shell", "sleep 60") for _ in range(2)]
    for run_id in runs:  # a signal is refused until it runs
        while server.run("signal", run_id, "CONT").returncode != 0:
            pass
    assert lines(server.output("pause", *runs)) == [[it, "running (paused)"] for it in runs]
    shown = server.output("show", runs[0])
    assert "running (paused)" in shown
    assert "since " in shown
    assert lines(server.output("resume", *runs)) == [[it, "running"] for it in runs]
    assert "in all" in server.output("show", runs[0])
    server.output("cancel", "--wait", *runs)
    done = server.run("pause", *runs, "no-such-run")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (73, b"", 3)
