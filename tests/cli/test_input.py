"""`runwire input` types for somebody, and what a run reads can be said when it is submitted."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.cli.conftest import RUNWIRE, Server
from tests.patience import PATIENCE_S


def submitted(server: Server, *arguments: str) -> str:
    """A run of these, once it is running."""
    run_id = server.output("submit", *arguments).strip()
    deadline = time.monotonic() + PATIENCE_S
    while server.run_view(run_id).started_at is None:
        assert time.monotonic() < deadline
    return run_id


def piped(server: Server, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [RUNWIRE, *arguments], input=data, env=server.environment, capture_output=True, check=False
    )


def test_a_line_of_text_is_sent_and_the_end_of_the_input(server: Server) -> None:
    run_id = submitted(server, "--stdin", "open", "--", "cat")
    assert server.output("input", run_id, "one line") == ""
    server.output("input", "--eof", run_id, "another")
    assert server.output("logs", "-f", run_id) == "one line\nanother\n"


def test_all_of_stdin_is_sent_byte_for_byte(server: Server) -> None:
    """Several times what a pipe holds, of every byte there is."""
    data = bytes(range(256)) * 4096
    run_id = submitted(server, "--stdin", "open", "--", "sh", "-c", "sleep 0.2; exec cat")
    done = piped(server, data, "input", "--eof", run_id)
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.run("logs", "-f", run_id).stdout == data


def test_a_run_that_takes_no_input_is_a_conflict(server: Server) -> None:
    run_id = submitted(server, "--", "sleep", "60")
    done = server.run("input", run_id, "x")
    assert done.returncode == 73
    assert b"takes no input" in done.stderr
    server.output("cancel", "--force", run_id)


def test_a_run_that_has_ended_is_a_conflict(server: Server) -> None:
    run_id = server.output("submit", "--stdin", "open", "--", "true").strip()
    server.output("logs", "-f", run_id)
    assert server.run("input", run_id, "x").returncode == 73


@pytest.mark.parametrize("how", ["file", "text"])
def test_a_run_reads_what_its_submit_says(server: Server, how: str) -> None:
    """A file is named from where the command is typed."""
    (server.directory / "words").write_text("of the file\n")
    option = ("--stdin", "words") if how == "file" else ("--stdin-text", "of the text\n")
    done = server.run("run", *option, "--cwd", "/", "--", "cat")
    assert done.stdout == f"of the {how}\n".encode()


def test_two_things_to_read_are_one_too_many(server: Server) -> None:
    done = server.run("submit", "--stdin", "open", "--stdin-text", "x", "--", "cat")
    assert done.returncode == 2
