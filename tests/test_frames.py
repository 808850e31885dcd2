"""The framed log: what is encoded is decoded, however the bytes are cut on their way."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import ProtocolError
from supervisor.frames import (
    MAX_DATA_BYTES,
    DataFrame,
    EndFrame,
    Frame,
    FrameDecoder,
    GapFrame,
    encode_data,
    encode_end,
    encode_gap,
)
from supervisor.lifecycle import begin
from supervisor.model import SYSTEM, Entry, Moment, RunSpec, Stream, Submitted
from supervisor.wire import LogInfo, RunView, show_run

OFFSETS = st.integers(0, 2**63)


def a_run() -> RunView:
    """A run as the API shows it."""
    at = Moment(datetime(2025, 1, 2, 3, 4, 5, 6, UTC), 7, "boot")
    entry = Entry("r1", at, SYSTEM, Submitted(RunSpec(argv=("true",), cwd="/")))
    return show_run(begin(entry, seq=1), LogInfo(9, 0))


def encoded(frame: Frame) -> bytes:
    """The frame by the encoder of its kind."""
    match frame:
        case DataFrame(stream, offset, data):
            return encode_data(stream, offset, data)
        case GapFrame(offset, to):
            return encode_gap(offset, to)
        case EndFrame(offset, run):
            return encode_end(offset, run)


data_frames = st.builds(DataFrame, st.sampled_from(Stream), OFFSETS, st.binary(max_size=50))
gap_frames = st.tuples(OFFSETS, OFFSETS).map(lambda pair: GapFrame(min(pair), max(pair)))


@given(st.lists(data_frames | gap_frames), OFFSETS, st.data())
def test_frames_arrive_as_sent_however_the_stream_is_cut(
    frames: list[DataFrame | GapFrame], size: int, draw: st.DataObject
) -> None:
    sent: list[Frame] = [*frames, EndFrame(size, a_run())]
    stream = b"".join(encoded(frame) for frame in sent)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    decoder = FrameDecoder()
    received: list[Frame] = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        assert not decoder.ended or start == len(stream)
        received += decoder.feed(stream[start:stop])
    assert received == sent
    assert decoder.ended


@given(st.binary(max_size=200))
def test_bytes_that_are_no_frames_are_refused_and_nothing_else_happens(noise: bytes) -> None:
    decoder = FrameDecoder()
    try:
        frames = decoder.feed(noise)
    except ProtocolError:
        return
    assert b"".join(encoded(frame) for frame in frames) == noise[: sum(map(wire_size, frames))]


def wire_size(frame: Frame) -> int:
    """How many bytes the frame takes."""
    return len(encoded(frame))


def test_the_layout_is_the_documented_one() -> None:
    """Other programs read this format: these bytes never change."""
    assert encode_data(Stream.STDOUT, 258, b"hi", 3) == (
        b"\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03\0\0\0\x02hi"
    )
    assert encode_data(Stream.STDERR, 0, b"") == b"\x02" + bytes(20)
    assert encode_gap(1, 3) == b"\0" + struct.pack(">QQIQ", 1, 0, 8, 3)
    assert encode_end(5, a_run())[:1] == b"\xff"


def test_a_frame_without_data_is_a_heartbeat_that_keeps_the_reader_where_it_is() -> None:
    (frame,) = FrameDecoder().feed(encode_data(Stream.STDOUT, 70, b""))
    assert frame.next == 70


def test_next_is_the_offset_to_resume_from() -> None:
    assert DataFrame(Stream.STDOUT, 10, b"abc").next == 13
    assert GapFrame(10, 20).next == 20
    assert EndFrame(13, a_run()).next == 13


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (struct.pack(">BQQI", 7, 0, 0, 0), "no frame of kind 7"),
        (struct.pack(">BQQI", 1, 0, 0, MAX_DATA_BYTES + 1), "longer than any can be"),
        (struct.pack(">BQQI", 0, 0, 0, 3) + b"abc", "8 bytes of data, not 3"),
        (encode_gap(9, 9)[:-1] + b"\x08", "cannot end at 8"),
        (struct.pack(">BQQI", 255, 0, 0, 2) + b"{}", "does not hold a run"),
        (encode_end(0, a_run()) + b"x", "after the end"),
    ],
)
def test_what_the_protocol_does_not_have_is_named(wrong: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        FrameDecoder().feed(wrong)
