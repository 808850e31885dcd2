"""Which process of a silent run may be keeping its output: real ones, on real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from supervisor.processes import procfs
from supervisor.processes.buffering import suspect

Start = Callable[..., subprocess.Popen[bytes]]
WAIT = """
import sys
print("unseen")
print("ready", file=sys.stderr, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program that reads from a pipe and writes to one; all are gone afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start_it(
        *command: str, env: Mapping[str, str] | None = None, stdout: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], **(env or {})}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        started.append(process)
        if WAIT in command:
            assert process.stderr is not None
            assert process.stderr.readline() == b"ready\n"
        return process

    yield start_it
    for process in started:
        with process, suppress(ProcessLookupError):
            os.killpg(process.pid, 9)


def told(process: subprocess.Popen[bytes]) -> str | None:
    return suspect(procfs.identify(process.pid))


def told_at_last(process: subprocess.Popen[bytes]) -> str:
    """The hint, once its programs have begun."""
    deadline = time.monotonic() + 30
    while (hint := told(process)) is None:
        assert time.monotonic() < deadline
    return hint


def python(*options: str) -> tuple[str, ...]:
    return (sys.executable, *options, "-c", WAIT)


def test_python_keeps_what_it_prints(start: Start) -> None:
    hint = told(start(*python("-I")))
    assert hint is not None
    assert hint.startswith("python")
    assert "PYTHONUNBUFFERED=1" in hint


@pytest.mark.parametrize("options", [("-u",), ("-Iu",), ("-X", "utf8", "-u")])
def test_python_that_was_told_not_to_by_an_option_does_not(
    start: Start, options: tuple[str, ...]
) -> None:
    assert told(start(*python(*options))) is None


def test_python_that_was_told_not_to_by_its_environment_does_not(start: Start) -> None:
    assert told(start(*python(), env={"PYTHONUNBUFFERED": "1"})) is None
    assert told(start(*python(), env={"PYTHONUNBUFFERED": ""})) is not None


def test_a_u_among_the_programs_own_arguments_is_no_option_of_python(start: Start) -> None:
    assert told(start(*python(), "-u")) is not None


def test_what_prints_by_the_c_library_may_keep_it(start: Start) -> None:
    hint = told_at_last(start("grep", "x"))
    assert hint.startswith("grep (pid ")
    assert 'output = "pty"' in hint


def test_what_writes_to_a_file_is_not_suspected(start: Start, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        assert told(start(*python("-I"), stdout=file.fileno())) is None


def test_shells_and_sleepers_are_not_suspected(start: Start) -> None:
    assert told(start("sh", "-c", "sleep 600; true")) is None


def test_what_a_shell_waits_for_is_found(start: Start) -> None:
    assert told_at_last(start("sh", "-c", "grep x | cat; true")).startswith("grep ")


def test_another_process_of_the_same_number_is_not_meant(start: Start) -> None:
    ref = procfs.identify(start("grep", "x").pid)
    assert suspect(msgspec.structs.replace(ref, start_ticks=ref.start_ticks - 1)) is None


def test_one_that_is_gone_is_not_suspected(start: Start) -> None:
    process = start("true")
    ref = procfs.identify(process.pid)
    process.wait()
    assert suspect(ref) is None
