"""The command line says what a run writes to."""

from __future__ import annotations

from tests.cli.conftest import Server


def test_what_is_merged_comes_out_of_stdout(server: Server) -> None:
    done = server.run("run", "--output", "merged", "both")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\nerr\n", b"", 3)


def test_show_tells_of_a_mode_that_is_not_the_usual_one(server: Server) -> None:
    merged = server.output("submit", "--output", "merged", "--shell", "true").strip()
    usual = server.output("submit", "--shell", "true").strip()
    lines = [line.split() for line in server.output("show", merged).splitlines()]
    assert ["writes:", "merged"] in lines
    assert "writes" not in server.output("show", usual)


def test_what_a_terminal_puts_out_comes_out_of_stdout(server: Server) -> None:
    done = server.run("run", "--output", "pty", "--shell", "test -t 2 && echo on a terminal >&2")
    assert (done.stdout, done.stderr, done.returncode) == (b"on a terminal\r\n", b"", 0)
