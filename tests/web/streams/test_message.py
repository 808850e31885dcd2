"""Frames as RFC 6455 has them, read back by somebody else's code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from web.streams.message import Message


def heard(frame: bytes) -> list[tuple[object, bool]]:
    """What a client makes of it."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frame)
    found: list[tuple[object, bool]] = []
    for event in client.events():
        assert isinstance(event, TextMessage | BytesMessage)
        found.append((event.data, event.message_finished))
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70_000])
def test_a_frame_of_any_length(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    assert heard(Message(data, binary=True).frame) == [(data, True)]
    assert heard(Message(b"x" * size).frame) == [("x" * size, True)]


@given(texts=st.lists(st.text(), max_size=5))
def test_frames_after_each_other(texts: list[str]) -> None:
    messages = [Message(text.encode()) for text in texts]
    assert [message.text for message in messages] == texts
    assert heard(b"".join(message.frame for message in messages)) == [(it, True) for it in texts]


def test_a_message_may_come_in_parts() -> None:
    whole = Message(b"one, two, three")
    parts = Message(b"one, ", b"", b"two, ", b"three")
    assert (parts.frame, parts.payload) == (whole.frame, b"one, two, three")
