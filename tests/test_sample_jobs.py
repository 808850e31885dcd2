"""The sample jobs.toml: five jobs that run on any Linux with Python and show what they promise."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import unicodedata
from pathlib import Path

import trio

from supervisor.config.missing import missing_here
from supervisor.config.settings import load
from supervisor.jobs.resolve import resolve
from supervisor.spec import ParamValue, RunSpec
from supervisor.wire import SubmitRequest
from tools.base import ROOT

SETTINGS = load(ROOT / "jobs.toml")
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def spec(job: str, **params: ParamValue) -> RunSpec:
    """What a run of a sample job executes."""
    return resolve(SETTINGS.jobs[job], SubmitRequest(job=job, params=params))


async def outcome(spec: RunSpec) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a run."""
    with trio.fail_after(120):
        done = await trio.run_process(
            list(spec.argv),
            cwd=spec.cwd,
            env=os.environ | spec.env,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def columns(line: str) -> int:
    """How many columns of a terminal a line takes."""
    plain = ESCAPE.sub("", line)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in plain)


def widest(text: str) -> int:
    """The widest line of what a program wrote, redrawn lines included."""
    return max(columns(line) for line in re.split(r"[\r\n]+", text))


def test_the_sample_is_without_mistakes_and_everything_it_needs_is_here() -> None:
    assert SETTINGS.warnings == ()
    assert missing_here(SETTINGS.jobs.values()) == ()


def test_every_sample_job_says_what_it_is_for_and_can_be_run_as_it_is() -> None:
    assert list(SETTINGS.jobs) == ["test-card", "progress", "crash", "stubborn", "report"]
    for job in SETTINGS.jobs.values():
        assert job.description
        resolve(job, SubmitRequest(job=job.name))


async def test_the_test_card_is_coloured_on_both_streams_and_80_columns_wide() -> None:
    code, out, err = await outcome(spec("test-card"))

    assert code == 0
    assert "\x1b[48;2;" in out
    assert "\x1b[33;1mwarn" in err
    assert "\x1b[31;1merror" in err
    assert widest(out) == 80
    assert widest(err) <= 80


async def test_the_progress_bar_is_drawn_in_place_until_it_is_full() -> None:
    code, out, err = await outcome(spec("progress", minutes=0.01))

    assert (code, err) == (0, "")
    assert out.count("\r") > out.count("\n") >= 9
    assert "100.0%" in out.splitlines()[-1]
    assert widest(out) <= 80


async def test_the_crash_fails_with_a_traceback() -> None:
    code, out, err = await outcome(spec("crash"))

    assert code == 1
    assert "Edsger" in out
    assert "Traceback (most recent call last)" in err
    assert "order 7004 cannot be read" in err.splitlines()[-1]


async def test_the_report_tells_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "file").write_bytes(os.urandom(300_000))
    (tmp_path / "small").mkdir()

    code, out, err = await outcome(spec("report", path=str(tmp_path)))

    plain = ESCAPE.sub("", out)
    assert (code, err) == (0, "")
    for heading in ("load", "memory", "processes by memory", "biggest directories"):
        assert f"\n{heading}" in plain
    assert re.search(r"29\dK  big .*\n.* small", plain)
    assert widest(out) <= 80


async def test_the_report_fails_where_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    code, _, err = await outcome(spec("report", path=str(tmp_path / "gone")))

    assert code == 1
    assert "gone: No such file or directory" in err


async def test_the_stubborn_tree_answers_sigterm_and_only_sigkill_ends_it() -> None:
    stubborn = spec("stubborn", children=2)
    process = await trio.lowlevel.open_process(
        list(stubborn.argv),
        cwd=stubborn.cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = ""

    async def wait_said(text: str, times: int) -> None:
        nonlocal seen
        assert process.stdout is not None
        while seen.count(text) < times:
            chunk = await process.stdout.receive_some()
            assert chunk, f"ended before it said {text!r}"
            seen += ESCAPE.sub("", chunk.decode())

    try:
        with trio.fail_after(60):
            await wait_said("here, with a child of its own", 2)
            os.killpg(process.pid, signal.SIGTERM)
            await wait_said("child 1   SIGTERM? Not me.", 1)
            await wait_said("child 2   SIGTERM? Not me.", 1)
            await wait_said("SIGTERM? I am busy.", 1)
            await wait_said("still here", 1)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    with trio.fail_after(60):
        while await process.stdout.receive_some():
            pass  # its end: nobody of the tree holds the pipe any more
        await process.wait()
