"""Where a Socket.IO client goes on: the place that goes with every event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import messages
from supervisor.errors import BadValue
from supervisor.model import Stream
from web.socketio.runevents import Place, read_place

OFFSETS = st.integers(0, 2**63 - 1)


@given(offset=st.integers(-(2**63) + 1, 2**63 - 1), seq=OFFSETS)
def test_a_place_is_read_as_it_was_written(offset: int, seq: int) -> None:
    place = Place(offset, seq)
    assert read_place(str(place)) == place


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1.-1", "1.1.1", "a.b", "1.1\n", "٣.٣"])
def test_anything_else_is_no_place(text: str) -> None:
    with pytest.raises(BadValue):
        read_place(text)


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (messages.output_message(Stream.STDOUT, "x", offset=5, until=9, time_us=0), Place(9, 3)),
        (messages.output_message(Stream.STDERR, "", offset=5, until=9, time_us=0), Place(9, 3)),
        (messages.gap_message(5, 100, "trimmed"), Place(100, 3)),
        (messages.seek_message(1), Place(1, 3)),
        (b'{"type":"status","data":"running","seq":7,"offset":2}', Place(5, 7)),
        (b'{"type":"status","data":"running","seq":2,"offset":2}', Place(5, 3)),
        (b'{"type":"end","offset":900,"run":{"next":1,"seq":99}}', Place(5, 3)),
        (messages.error_message("stalled", "x"), Place(5, 3)),
    ],
)
def test_a_message_moves_the_place_to_where_it_ends(message: bytes, place: Place) -> None:
    assert Place(5, 3).after(message.decode()) == place
