"""Durations and sizes: what people write is understood, and refused with the way to write it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadValue
from supervisor.units import parse_duration, parse_size, show_duration, show_size


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1d", 86400),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1d2h3m4s5ms", 93784.005),
        ("1.5h", 5400),
        (" 5s ", 5),
        ("30", 30),
        ("0.25", 0.25),
        ("0s", 0),
        (0, 0),
        (90, 90),
        (0.5, 0.5),
        ("36500d", 36500 * 86400),
    ],
)
def test_a_duration_is_a_text_with_units_or_a_number_of_seconds(
    value: str | float, seconds: float
) -> None:
    parsed = parse_duration(value)

    assert parsed == pytest.approx(seconds)
    assert type(parsed) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("10 minutes", '"10 minutes" is not a duration; did you mean "10m"?'),
        ("1hour 5Min", '"1hour 5Min" is not a duration; did you mean "1h5m"?'),
        ("10M", '"10M" is not a duration; did you mean "10m"?'),
        ("5 fortnights", '"5 fortnights" is not a duration: write something like "90s"'),
        ("soon", '"soon" is not a duration: write something like "90s"'),
        ("", '"" is not a duration: write something like "90s"'),
        ("5s!", '"5s!" is not a duration: write something like "90s"'),
        ("1h30", '"1h30" is not a duration: write something like "90s"'),
        ("\u0663s", '"\u0663s" is not a duration: write something like "90s"'),
        ("1e3s", '"1e3s" is not a duration: write something like "90s"'),
        ("30m1h", '"30m1h" is not a duration: larger units come first, once'),
        ("1s1s", '"1s1s" is not a duration: larger units come first, once'),
        ("-5s", 'a duration cannot be "-5s": it must be 0 or more'),
        (-1, "a duration cannot be -1: it must be 0 or more"),
        (math.nan, "a duration cannot be nan: it must be 0 or more"),
        (math.inf, "a duration cannot be longer than 100 years"),
        ("36501d", "a duration cannot be longer than 100 years"),
        pytest.param("9" * 400 + "s", "cannot be longer than 100 years", id="huge text"),
        pytest.param(10**5000, "cannot be longer than 100 years", id="huge"),
        (True, "must be a duration: write something like"),
        (["5s"], "must be a duration: write something like"),
        (None, "must be a duration: write something like"),
    ],
)
def test_anything_else_is_refused_and_says_how_to_write_it(value: object, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse_duration(value, field="timeout")

    assert message in caught.value.message
    assert caught.value.field == "timeout"


@given(st.integers(0, 10**11))
def test_a_duration_shown_is_read_back_as_the_same(millis: int) -> None:
    assert parse_duration(show_duration(millis / 1000)) == pytest.approx(millis / 1000, abs=1e-6)


@given(st.text())
def test_no_text_makes_the_parser_of_durations_fail_otherwise(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except BadValue:
        return
    assert seconds >= 0


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (1000, 1000),
        ("1000", 1000),
        ("64K", 65536),
        ("64k", 65536),
        ("64 KiB", 65536),
        ("10MB", 10 * 1024**2),
        ("1.5G", 3 * 1024**3 // 2),
        ("2T", 2 * 1024**4),
    ],
)
def test_a_size_is_a_number_of_bytes_or_counts_in_powers_of_1024(
    value: str | int, size: int
) -> None:
    parsed = parse_size(value)

    assert parsed == size
    assert type(parsed) is int


@pytest.mark.parametrize(
    "value", ["lots", "", "-5", "5X", "1e3", -1, 2**63, True, 1.5, None, "5 5K"]
)
def test_a_bad_size_is_refused_for_its_field(value: object) -> None:
    with pytest.raises(BadValue) as caught:
        parse_size(value, field="max_body")

    assert caught.value.field == "max_body"


@given(st.integers(0, 2**50))
def test_a_size_that_is_shown_is_read_as_the_same(size: int) -> None:
    assert parse_size(show_size(size)) == size


def test_a_size_is_shown_in_its_largest_whole_unit() -> None:
    assert [show_size(size) for size in (0, 1023, 2**10, 3 * 2**20, 2**31)] == [
        "0",
        "1023",
        "1K",
        "3M",
        "2G",
    ]
