"""Which bytes of a log a request means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadValue, RangeNotSatisfiable
from web.api.ranges import Kept, Span, span_from, span_of_range

WHOLE = Kept(oldest=0, size=100)
TRIMMED = Kept(oldest=40, size=100)


@pytest.mark.parametrize(
    ("kept", "start", "span"),
    [
        (WHOLE, 0, Span(0, 100)),
        (WHOLE, 99, Span(99, 100)),
        (WHOLE, 100, Span(100, 100)),
        (TRIMMED, 0, Span(40, 100)),
        (TRIMMED, 50, Span(50, 100)),
        (Kept(0, 0), 0, Span(0, 0)),
    ],
)
def test_from_begins_there_or_at_the_oldest_byte_kept(kept: Kept, start: int, span: Span) -> None:
    assert span_from(start, kept) == span


def test_from_past_the_end_is_refused_with_what_there_is() -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        span_from(101, TRIMMED)
    assert (caught.value.oldest, caught.value.size) == (40, 100)


@pytest.mark.parametrize(
    ("header", "kept", "start", "stop"),
    [
        ("bytes=0-0", WHOLE, 0, 1),
        ("bytes=10-19", WHOLE, 10, 20),
        ("bytes=90-", WHOLE, 90, 100),
        ("bytes=90-1000", WHOLE, 90, 100),
        ("bytes=-10", WHOLE, 90, 100),
        ("bytes=-1000", WHOLE, 0, 100),
        (" Bytes = 1 - 2 ", WHOLE, 1, 3),
        ("bytes=,1-2,", WHOLE, 1, 3),
        ("bytes=30-49", TRIMMED, 40, 50),
        ("bytes=-1000", TRIMMED, 40, 100),
        ("bytes=0-9999999999999999999", WHOLE, 0, 100),
    ],
)
def test_a_range_is_offsets_in_the_whole_log(
    header: str, kept: Kept, start: int, stop: int
) -> None:
    assert span_of_range(header, kept) == Span(start, stop, partial=True)


@pytest.mark.parametrize("header", ["items=0-5", "bytes=0-1,5-6", "seconds=1-2, 3-4"])
def test_other_units_and_several_ranges_are_ignored(header: str) -> None:
    assert span_of_range(header, WHOLE) is None


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("bytes=100-", WHOLE),
        ("bytes=100-200", WHOLE),
        ("bytes=-0", WHOLE),
        ("bytes=0-39", TRIMMED),
        ("bytes=0-", Kept(0, 0)),
        ("bytes=-5", Kept(0, 0)),
    ],
)
def test_a_range_the_log_has_nothing_of_is_not_satisfiable(header: str, kept: Kept) -> None:
    with pytest.raises(RangeNotSatisfiable):
        span_of_range(header, kept)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=x-y",
        "bytes=5-2",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=1_0-20",
        "bytes=\u0661-\u0662",
        "bytes=0x1-0x2",
        "bytes=-1-2",
        "bytes=1.5-2",
        "bytes=99999999999999999999999-",
        "0-5",
        "bytes=0-1,x",
    ],
)
def test_a_malformed_range_is_refused_by_name(header: str) -> None:
    with pytest.raises(BadValue) as caught:
        span_of_range(header, WHOLE)
    assert caught.value.field == "Range"


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 120), st.integers(0, 120))
def test_a_range_is_what_slicing_the_log_gives(
    oldest: int, kept_bytes: int, first: int, last: int
) -> None:
    kept = Kept(oldest, oldest + kept_bytes)
    wanted = [at for at in range(first, last + 1) if kept.oldest <= at < kept.size]
    try:
        span = span_of_range(f"bytes={first}-{last}", kept)
    except BadValue:
        assert last < first
    except RangeNotSatisfiable:
        assert not wanted
    else:
        assert span is not None
        assert list(range(span.start, span.stop)) == wanted
