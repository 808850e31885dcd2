"""Runs and events as JSON: everything written is read back, whatever wrote it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import StorageUnavailable
from supervisor.journal.codec import (
    EVENT_VERSION,
    RUN_VERSION,
    decode_event,
    decode_run,
    encode_event,
    encode_run,
)
from supervisor.model import Event, Failed, Reason, Requeued, Run, Status, event_name
from supervisor.outcome import NotStarted
from supervisor.spec import RunSpec, TerminalSize

st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
finite = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, finite)
characters = st.integers(1, 1000)
st.register_type_strategy(TerminalSize, st.builds(TerminalSize, characters, characters))
st.register_type_strategy(
    RunSpec,
    st.builds(
        RunSpec,
        env=st.dictionaries(st.text(), st.text()),
        params=st.dictionaries(st.text(), st.booleans() | st.integers() | finite | st.text()),
    ),
)


@given(st.from_type(Run))
def test_a_run_reads_back_equal(run: Run) -> None:
    assert decode_run(RUN_VERSION, encode_run(run)) == run


@pytest.mark.parametrize("kind", get_args(Event))
def test_every_kind_of_event_reads_back_equal(kind: type[Event]) -> None:
    @given(st.from_type(kind))
    def check(event: Event) -> None:
        assert decode_event(EVENT_VERSION, encode_event(event)) == event

    check()


def test_the_kind_of_an_event_is_the_type_in_its_json() -> None:
    event = Requeued("never started")
    assert json.loads(encode_event(event))["type"] == event_name(event) == "requeued"


def test_what_a_later_version_adds_is_passed_over() -> None:
    text = '{"type": "requeued", "message": "never started", "colour": "green"}'
    assert decode_event(1, text) == Requeued("never started")


def test_what_an_earlier_version_did_not_have_gets_its_default() -> None:
    """Only what a run cannot be without is required."""
    text = (
        '{"id": "r", "seq": 1, "spec": {"argv": ["true"], "cwd": "/"}, "status": "queued",'
        ' "created_at": "2026-01-02T00:00:00Z", "created_by": {"kind": "user", "name": "anna"}}'
    )
    run = decode_run(1, text)
    assert (run.id, run.status, run.spec) == ("r", Status.QUEUED, RunSpec(argv=("true",), cwd="/"))


@pytest.mark.parametrize("text", ["", "{", '{"type": "unheard_of"}', '{"type": "requeued"}', "[]"])
def test_what_is_unreadable_is_said_and_not_guessed(text: str) -> None:
    with pytest.raises(StorageUnavailable, match="unreadable"):
        decode_event(EVENT_VERSION, text)


def test_an_unknown_version_is_said() -> None:
    with pytest.raises(StorageUnavailable, match="version 99"):
        decode_run(99, "{}")


@given(st.text(st.characters(categories=("L", "Cs"))))
def test_text_that_is_not_unicode_is_stored_with_replacements(text: str) -> None:
    """Character by character, so that the rest of a message stays readable."""
    event = Failed(reason=Reason.START_FAILED, message=text, outcome=NotStarted(message=text))
    stored = decode_event(EVENT_VERSION, encode_event(event))
    assert isinstance(stored, Failed)
    assert isinstance(stored.outcome, NotStarted)
    wanted = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    assert stored.message == stored.outcome.message == wanted
