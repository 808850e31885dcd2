"""What is told about runs, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from supervisor.cli.render import age, brief_duration, how_it_is, run_facts, what_it_is
from supervisor.conditions import RunLimits
from supervisor.lifecycle import begin
from supervisor.model import (
    SYSTEM,
    Actor,
    Entry,
    Moment,
    Reason,
    Status,
    StopReceipt,
    StopStep,
    Submitted,
)
from supervisor.outcome import StopCause
from supervisor.spec import RunSpec
from supervisor.wire import LogInfo, RunView, show_run

NOON = datetime(2025, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def run() -> RunView:
    """A queued run of a command."""
    spec = RunSpec(argv=("echo", "a b"), cwd="/srv", params={"fast": True})
    entry = Entry("r1", Moment(NOON, 0, "boot"), SYSTEM, Submitted(spec))
    return show_run(begin(entry, seq=1), LogInfo(70, 0))


@pytest.mark.parametrize(
    ("status", "reason", "code", "signal", "told"),
    [
        (Status.QUEUED, None, None, None, "queued"),
        (Status.SUCCEEDED, None, 0, None, "succeeded"),
        (Status.FAILED, Reason.EXIT_CODE, 3, None, "failed (exit 3)"),
        (Status.FAILED, Reason.SIGNAL, None, "SEGV", "failed (SEGV)"),
        (Status.FAILED, Reason.TIMEOUT, 0, None, "failed (timeout)"),
        (Status.FAILED, Reason.LOST, None, None, "failed (lost)"),
        (Status.CANCELLED, None, None, "TERM", "cancelled"),
    ],
)
def test_a_status_says_why_in_a_word(
    run: RunView,
    status: Status,
    reason: Reason | None,
    code: int | None,
    signal: str | None,
    told: str,
) -> None:
    ended = structs.replace(run, status=status, reason=reason, exit_code=code, signal=signal)
    assert how_it_is(ended) == told


def test_a_running_run_that_is_to_end_says_so(run: RunView) -> None:
    running = structs.replace(run, status=Status.RUNNING)
    assert how_it_is(running) == "running"
    assert how_it_is(structs.replace(running, cancel_requested_at=NOON)) == "running (cancelling)"


def test_a_run_is_its_job_or_its_line_or_its_command(run: RunView) -> None:
    assert what_it_is(run) == "echo a b"
    assert what_it_is(structs.replace(run, job="j")) == "j"
    assert what_it_is(structs.replace(run, spec=structs.replace(run.spec, shell="x|y"))) == "x|y"


def test_facts_tell_what_a_stop_did(run: RunView) -> None:
    receipt = StopReceipt(
        cause=StopCause.CANCEL,
        requested_at=NOON,
        requested_by=Actor("user", "ada"),
        steps=(
            StopStep(NOON, "TERM", "group 7", (7, 8)),
            StopStep(NOON + timedelta(seconds=10), "KILL", "group 7", (8,)),
        ),
        escalated=True,
    )
    stopped = structs.replace(run, stop=receipt, killed=(9,), survivors=(10, 11))
    facts = dict(run_facts(stopped))
    asked, term, kill, hard = facts["stop"].split("\n")
    assert asked.startswith("cancel, asked by user ada at ")
    assert " TERM to group 7, pids 7 8: sent" in term
    assert " KILL to group 7, pids 8: sent" in kill
    assert "killed" in hard
    assert (facts["left over"], facts["still alive"]) == ("killed: pids 9", "pids 10 11")


def test_facts_tell_under_what_conditions_it_ran(run: RunView) -> None:
    limits = RunLimits(memory=2**31, nofile=64)
    spec = structs.replace(run.spec, limits=limits, nice=0, ionice="idle", umask="0027")
    facts = dict(run_facts(structs.replace(run, spec=spec)))
    assert facts["limits"] == "memory=2G\nnofile=64"
    assert (facts["nice"], facts["ionice"], facts["umask"]) == ("0", "idle", "0027")


def test_facts_quote_the_command_and_leave_out_what_is_not_so(run: RunView) -> None:
    facts = dict(run_facts(run))
    assert facts["command"] == "echo 'a b'"
    assert facts["parameters"] == "fast=true"
    assert not any(facts[name] for name in ("stop", "exit code", "ended", "attempt", "timeout"))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "0s"), (59.9, "59s"), (60, "1m"), (3600, "1h"), (86399, "23h"), (200000, "2d")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert age(NOON, NOON + timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0324, "0.032s"), (4.12, "4.1s"), (64.6, "1m5s"), (3599.9, "1h0m"), (7380, "2h3m")],
)
def test_a_measured_time_is_as_exact_as_one_wants_to_know(seconds: float, told: str) -> None:
    assert brief_duration(seconds) == told
