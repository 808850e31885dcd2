"""What is said over HTTP: requests are read strictly, a run is shown whole."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec
import pytest

from supervisor.model import Actor, ProcessRef, Run, Status
from supervisor.spec import RunSpec
from supervisor.wire import (
    RUN_ID_PATTERN,
    CancelRequest,
    LogInfo,
    Problem,
    RunView,
    SignalRequest,
    SubmitRequest,
    show_run,
)

RUN = Run(
    id="r",
    seq=1,
    spec=RunSpec(argv=("true",), cwd="/", job="j", tags=("t",), priority=5),
    status=Status.RUNNING,
    created_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    created_by=Actor("user", "anna"),
    process=ProcessRef(4711, 99, "boot"),
)


@pytest.mark.parametrize("run_id", ["r", "0", "a.b_c-d", "A" * 64])
def test_a_run_id_may_be(run_id: str) -> None:
    assert re.fullmatch(RUN_ID_PATTERN, run_id)


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", "-r", "_r", "a/b", "a b", "ä", "٣", "A" * 65, "a\n", "a\0", "a%2e"]
)
def test_a_run_id_may_not_be(run_id: str) -> None:
    assert not re.fullmatch(RUN_ID_PATTERN, run_id)


@pytest.mark.parametrize("request_type", [SubmitRequest, CancelRequest, SignalRequest])
def test_a_misspelt_field_is_refused(request_type: type[msgspec.Struct]) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `forse`"):
        msgspec.json.decode(b'{"forse": true, "signal": "HUP"}', type=request_type)


@pytest.mark.parametrize(
    "body", [b'{"params": {"x": null}}', b'{"params": {"x": []}}', b'{"command": "ls -l"}']
)
def test_a_value_of_the_wrong_type_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=SubmitRequest)


def test_all_that_is_known_of_a_run_is_shown() -> None:
    """But for what is the server's own: the order of runs, and what it needs for its timers."""
    view = show_run(RUN, LogInfo(size=10, oldest=2))
    monotonic = {"started_mono_ns", "paused_mono_ns", "stop_mono_ns", "step_mono_ns"}
    hidden = {"seq", "spec", "deadlines", "log_size"} | monotonic
    for field in set(Run.__struct_fields__) - hidden:
        assert getattr(view, field) == getattr(RUN, field)
    assert (view.job, view.tags, view.priority) == ("j", ("t",), 5)
    assert (view.pid, view.log) == (4711, LogInfo(10, 2))


def test_a_run_reads_the_same_after_its_json() -> None:
    view = show_run(RUN, LogInfo(size=10, oldest=2))
    assert msgspec.json.decode(msgspec.json.encode(view), type=RunView) == view


def test_times_are_rfc_3339_in_utc_and_absent_facts_are_null() -> None:
    shown = msgspec.json.decode(msgspec.json.encode(show_run(RUN, LogInfo(0, 0))))
    assert shown["created_at"] == "2026-01-02T03:04:05.000006Z"
    assert shown["ended_at"] is None
    assert shown["status"] == "running"


def test_a_problem_has_only_what_it_needs() -> None:
    problem = Problem(title="Not found", status=404, code="no_such_run")
    assert msgspec.json.decode(msgspec.json.encode(problem)) == {
        "title": "Not found",
        "status": 404,
        "code": "no_such_run",
    }
