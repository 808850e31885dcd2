"""Exit codes: the run's own first, then documented ones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import structs

from supervisor import errors
from supervisor.cli.exitcodes import ExitCode, code_of_error, code_of_run
from supervisor.lifecycle import begin
from supervisor.model import SYSTEM, Entry, Moment, Reason, Status, Submitted
from supervisor.spec import RunSpec
from supervisor.wire import LogInfo, RunView, show_run


def ended(
    status: Status, *, reason: Reason | None = None, code: int | None = None, by: str | None = None
) -> RunView:
    """A run that ended so."""
    at = Moment(datetime(2025, 1, 2, tzinfo=UTC), 7, "boot")
    run = begin(Entry("r1", at, SYSTEM, Submitted(RunSpec(argv=("x",), cwd="/"))), seq=1)
    run = structs.replace(run, status=status, reason=reason, exit_code=code, signal=by)
    return show_run(run, LogInfo(0, 0))


@pytest.mark.parametrize("code", [1, 2, 3, 69, 130, 255])
def test_a_failed_run_gives_its_own_code(code: int) -> None:
    assert code_of_run(ended(Status.FAILED, reason=Reason.EXIT_CODE, code=code)) == code


def test_a_run_that_succeeded_gives_0() -> None:
    assert code_of_run(ended(Status.SUCCEEDED, code=0)) == 0


@pytest.mark.parametrize(
    ("name", "code"), [("INT", 130), ("KILL", 137), ("SEGV", 139), ("TERM", 143), ("RTMIN+1", 163)]
)
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_a_signal_gives_128_and_its_number(status: Status, name: str, code: int) -> None:
    assert code_of_run(ended(status, by=name)) == code


@pytest.mark.parametrize("code", [0, None])
@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (Status.CANCELLED, None, 130),
        (Status.FAILED, Reason.TIMEOUT, 124),
        (Status.FAILED, Reason.START_FAILED, 126),
        (Status.FAILED, Reason.LOST, 125),
        (Status.FAILED, Reason.INTERNAL, 125),
    ],
)
def test_a_run_that_did_not_succeed_never_gives_0(
    status: Status, reason: Reason | None, code: int | None, expected: int
) -> None:
    assert code_of_run(ended(status, reason=reason, code=code)) == expected


@pytest.mark.parametrize("reason", [*Reason])
def test_every_reason_has_a_code(reason: Reason) -> None:
    assert code_of_run(ended(Status.FAILED, reason=reason)) in {124, 125, 126}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadValue("x"), ExitCode.REFUSED),
        (errors.NoSuchRun("x"), ExitCode.NOT_FOUND),
        (errors.RunEnded("x"), ExitCode.CONFLICT),
        (errors.Forbidden("x"), ExitCode.DENIED),
        (errors.ShuttingDown("x"), ExitCode.TRY_LATER),
        (errors.ServerUnreachable("x"), ExitCode.UNREACHABLE),
        (errors.ProtocolError("x"), ExitCode.PROTOCOL),
        (errors.ConfigError(("x",)), ExitCode.CONFIG),
        (errors.StateDirError("x"), ExitCode.CONFLICT),
        (errors.ListenError("x"), ExitCode.CONFLICT),
        (errors.LaunchError("x"), ExitCode.INTERNAL),
    ],
)
def test_an_error_has_a_code_by_whose_fault_it_is(
    error: errors.RunwireError, code: ExitCode
) -> None:
    assert code_of_error(error) == code
