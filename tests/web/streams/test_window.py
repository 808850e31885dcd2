"""A window: never more unacknowledged than it is large, and never stuck."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from web.streams.window import Window


@given(st.integers(1, 50), st.data())
def test_what_is_unacknowledged_fits_and_acknowledging_all_makes_all_room(
    size: int, draw: st.DataObject
) -> None:
    """Whatever is acknowledged, in any order, too much and too little."""
    window = Window(size)
    sent: list[tuple[int, int]] = []  # (until, count) of what was sent and not acknowledged
    at = 0
    for _ in range(draw.draw(st.integers(0, 30))):
        if draw.draw(st.booleans()):
            offset = draw.draw(st.integers(-5, at + 5))
            window.acknowledge(offset)
            sent = [(until, count) for until, count in sent if until > offset]
        elif window.room:
            count = draw.draw(st.integers(1, window.room))
            at += count + draw.draw(st.integers(0, 3))  # a filter leaves bytes out
            window.sent(at, count)
            sent.append((at, count))
        assert window.room == size - sum(count for _, count in sent)
    window.acknowledge(at)
    assert window.room == size


def test_acknowledging_ahead_does_not_count_for_what_is_sent_later() -> None:
    window = Window(10)
    window.acknowledge(10**18)
    window.sent(10, 10)
    assert window.room == 0


def test_what_it_remembers_is_bounded_and_still_all_of_it_counts() -> None:
    window = Window(10**9)
    for offset in range(5000):
        window.sent(2 * offset + 1, 1)
    assert len(window._sent) <= 1024
    assert window.room == 10**9 - 5000
    window.acknowledge(9998)
    assert window.room is not None
    assert window.room < 10**9  # the last of them is not acknowledged
    window.acknowledge(9999)
    assert window.room == 10**9


def test_no_window_is_no_bound() -> None:
    window = Window(None)
    window.sent(100, 100)
    assert window.room is None


def test_whoever_goes_elsewhere_begins_with_an_empty_window() -> None:
    window = Window(10)
    window.sent(100, 10)
    window.reset()
    assert window.room == 10
