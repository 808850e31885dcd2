"""How output becomes messages: what is together in one, and how long they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.log.logfile import Chunk, Gap, GapReason, LogReader, Piece
from supervisor.model import Stream
from supervisor.units import KIB
from tests.web.scene import parsed
from web.streams.forms import BinaryForm, JsonForm
from web.streams.viewer import BATCH_BYTES

OUT, ERR = Stream.STDOUT, Stream.STDERR


@pytest.mark.parametrize("length", [1, 1000])
def test_frames_come_together_but_never_more_than_many_clients_take(length: int) -> None:
    """Nothing is smaller than single bytes of two streams in turn: most of a frame is its header."""
    pieces: list[Piece] = [
        Chunk(offset, b"x" * length, (OUT, ERR)[offset // length % 2], 1)
        for offset in range(0, 32 * KIB, length)
    ]
    messages = BinaryForm().output(pieces)
    assert len(messages) == (3 if length == 1 else 1)
    assert max(len(message.payload) for message in messages) < 1024 * KIB
    frames = [frame for message in messages for frame in parsed(message)]
    assert [(f["offset"], f["data"]) for f in frames] == [
        (piece.offset, piece.data) for piece in pieces if isinstance(piece, Chunk)
    ]


def test_a_gap_stands_at_its_place_between_frames() -> None:
    messages = BinaryForm().output(
        [Chunk(0, b"a", OUT, 1), Gap(1, 5, GapReason.TRIMMED), Chunk(5, b"b", OUT, 1)]
    )
    said = [part for message in messages for part in parsed(message)]
    assert [part.get("data", part["type"]) for part in said] == [b"a", "gap", b"b"]


@pytest.mark.parametrize("byte", [b"x", b"\0", b"\xff"])
def test_what_is_told_at_once_is_no_longer_as_text_than_many_clients_take(
    byte: bytes, tmp_path: Path
) -> None:
    """Most bytes become one or two, some become six; a character that is cut there stays whole."""
    data = b"\xac" + byte * (BATCH_BYTES // 2 - 2) + "€".encode() + byte * (BATCH_BYTES // 2 - 2)
    form = JsonForm()
    with LogReader(tmp_path, "r") as reader:
        form.begin(reader, 0, tuple(Stream))
    form.resume((b"\xe2\x82", b""))
    messages = form.output([Chunk(2, data, OUT, 1)])
    assert max(len(message.frame) for message in messages) < 1024 * KIB
    assert len(messages) == (2 if byte == b"\0" else 1)
    said = [part for message in messages for part in parsed(message)]
    assert "".join(part["data"] for part in said) == "€" + data[1:].decode("utf-8", "replace")
    ends = [part["next"] for part in said]
    assert [part["offset"] for part in said] == [2, *ends[:-1]]
    assert ends[-1] == 2 + len(data)
