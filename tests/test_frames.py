"""Output in the binary form: what is encoded is decoded, and nothing else is."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import ProtocolError
from supervisor.frames import Output, decode_output, encode_output
from supervisor.model import Stream

OFFSETS = st.integers(0, 2**63)
outputs = st.builds(Output, st.sampled_from(Stream), OFFSETS, st.binary(max_size=50), OFFSETS)


def encoded(output: Output) -> bytes:
    return encode_output(output.stream, output.offset, output.data, output.time_us)


@given(st.lists(outputs))
def test_what_is_sent_together_arrives_as_sent(sent: list[Output]) -> None:
    assert decode_output(b"".join(map(encoded, sent))) == sent


def test_a_frame_is_as_documented() -> None:
    """Numbers are big-endian; the data follow a header of 21 bytes."""
    frame = encode_output(Stream.STDERR, 258, b"\x00\xff", 7)
    assert frame == b"\x02" + struct.pack(">QQ", 258, 7) + b"\x00\x00\x00\x02\x00\xff"
    assert Output(Stream.STDERR, 258, b"\x00\xff", 7).next == 260


@pytest.mark.parametrize(
    "message",
    [
        b"\x01",
        encode_output(Stream.STDOUT, 0, b"abc")[:-1],
        encode_output(Stream.STDOUT, 0, b"abc") + b"\x01\x00",
        encode_output(Stream.STDOUT, 0, b"abc").replace(b"\x01", b"\x09", 1),
        b"<html><body>Not Runwire</body></html>",
    ],
)
def test_what_is_not_whole_frames_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_output(message)
