"""`runwire run` lends its terminal to a run on one: real terminals at both ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cli.conftest import RUNWIRE, Server
from tests.patience import PATIENCE_S

SIZES = """
import os, signal, sys
def tell(*_): print("size", *os.get_terminal_size(0), flush=True)
signal.signal(signal.SIGWINCH, tell)
tell()
for line in sys.stdin: pass
"""


class Sitter:
    """Somebody at a terminal on which a command runs."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int, found: list[Any]) -> None:
        self.process = process
        self.terminal = terminal
        self.found = found
        """What tcgetattr(3) said before the command came."""
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def see(self, text: bytes) -> None:
        """Return once that has been shown."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            left_s = deadline - time.monotonic()
            assert select.select([self.terminal], [], [], max(0, left_s))[0], self.seen
            self.seen += os.read(self.terminal, 4096)

    def ended(self) -> int:
        return self.process.wait(PATIENCE_S)


@contextmanager
def sitting(server: Server, *arguments: str) -> Iterator[Sitter]:
    """At a terminal of 100 columns and 30 rows, which the command controls."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(ours, (30, 100))
    found = termios.tcgetattr(ours)
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", RUNWIRE, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=server.environment,
        cwd=server.directory,
    )
    try:
        yield Sitter(process, ours, found)
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def test_keys_go_to_the_run_and_what_it_shows_comes_back(server: Server) -> None:
    with sitting(server, "run", "--output", "pty", "--shell", "read x; echo got $x; exit 7") as at:
        wait_raw(at)
        at.type(b"hello\r")
        at.see(b"hello\r\ngot hello\r\n")
        assert at.ended() == 7
        assert termios.tcgetattr(at.terminal) == at.found


def test_ctrl_c_is_for_the_program(server: Server) -> None:
    line = "trap 'echo interrupted' INT; sh -c 'echo ready; exec sleep 600'; echo after"
    with sitting(server, "run", "--output", "pty", "--shell", line) as at:
        at.see(b"ready")
        wait_raw(at)
        at.type(b"\x03")
        at.see(b"after")
        assert at.ended() == 0


def test_the_size_goes_along(server: Server) -> None:
    command = ("--", sys.executable, "-I", "-S", "-c", SIZES)
    with sitting(server, "run", "--output", "pty", *command) as at:
        at.see(b"size 100 30")
        wait_raw(at)
        termios.tcsetwinsize(at.terminal, (40, 120))
        at.see(b"size 120 40")
        at.type(b"\x04")
        assert at.ended() == 0


def test_one_key_leaves_and_the_run_goes_on(server: Server) -> None:
    with sitting(
        server, "run", "--id", "left", "--output", "pty", "--shell", "echo ready; cat"
    ) as at:
        at.see(b"ready")
        wait_raw(at)
        at.type(b"one\x1dtwo")
        at.see(b"left alone: run left goes on")
        assert at.ended() == 130
    assert server.run_view("left").ended_at is None
    server.output("input", "--eof", "left", "")
    log = server.output("logs", "-f", "left")
    assert "one" in log
    assert "two" not in log


def test_a_run_on_pipes_leaves_the_terminal_alone(server: Server) -> None:
    with sitting(server, "run", "--shell", "echo ready; sleep 600") as at:
        at.see(b"ready")
        at.type(b"\x03")
        at.see(b"cancelling the run")
        assert at.ended() == 128 + signal.SIGTERM


def wait_raw(at: Sitter) -> None:
    """Return once keys go to the run."""
    deadline = time.monotonic() + PATIENCE_S
    while termios.tcgetattr(at.terminal)[3] & termios.ICANON:
        assert time.monotonic() < deadline
        time.sleep(0.01)
