"""Signals: by name or number, one spelling inside, and the numbers are this machine's."""

from __future__ import annotations

import signal

import pytest

from supervisor.errors import BadValue
from supervisor.signals import parse_signal, signal_name, signal_number


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("TERM", "TERM"),
        ("SIGTERM", "TERM"),
        ("sigterm", "TERM"),
        (" term ", "TERM"),
        ("15", "TERM"),
        (15, "TERM"),
        ("9", "KILL"),
        ("SIGCLD", "CHLD"),
        ("POLL", "IO"),
        ("IOT", "ABRT"),
        ("RTMIN", "RTMIN"),
        ("SIGRTMIN+3", "RTMIN+3"),
        ("RTMAX-1", "RTMIN+29"),
        ("RTMIN+30", "RTMAX"),
        ("RTMIN+0", "RTMIN"),
        ("RTMAX-0", "RTMAX"),
        ("RTMAX-30", "RTMIN"),
        (64, "RTMAX"),
    ],
)
def test_every_usual_spelling_gives_one_canonical_name(value: str | int, name: str) -> None:
    assert parse_signal(value) == name


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("TREM", 'there is no signal "TREM"; did you mean "TERM"?'),
        ("SIGKIL", 'there is no signal "SIGKIL"; did you mean "KILL"?'),
        ("nonsense-word", 'there is no signal "nonsense-word"'),
        ("", 'there is no signal ""'),
        ("SIG", 'there is no signal "SIG"'),
        ("RTMIN+31", 'there is no signal "RTMIN+31"'),
        (0, "there is no signal 0; they go from 1 to 64"),
        (-9, 'there is no signal "-9"'),
        ("32", "there is no signal 32"),
        ("65", "there is no signal 65; they go from 1 to 64"),
        ("\u0661\u0665", 'there is no signal "\u0661\u0665"'),
        (True, 'must be a signal name such as "TERM"'),
        (15.0, 'must be a signal name such as "TERM"'),
        (None, 'must be a signal name such as "TERM"'),
    ],
)
def test_there_is_no_other_signal(value: object, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse_signal(value, field="signal")

    assert caught.value.message.startswith(message)
    assert caught.value.field == "signal"


def test_names_and_numbers_are_those_of_this_machine() -> None:
    """Every signal that Python knows here has the same number with us, and all of ours exist."""
    for name, member in signal.Signals.__members__.items():
        assert signal_number(parse_signal(name)) == member.value

    assert {number for number in range(1, 65) if signal_name(number) != str(number)} == {
        int(number) for number in signal.valid_signals()
    }


@pytest.mark.parametrize("number", [*range(1, 32), *range(34, 65)])
def test_a_number_and_its_name_lead_to_each_other(number: int) -> None:
    name = signal_name(number)

    assert signal_number(name) == number
    assert parse_signal(name) == parse_signal(number) == name


def test_a_number_without_a_name_is_shown_as_it_is() -> None:
    assert signal_name(33) == "33"
