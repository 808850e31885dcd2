"""How output becomes messages: as JSON text, or as frames of exact bytes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from operator import attrgetter
from typing import Protocol

from supervisor import frames, messages
from supervisor.log.logfile import Chunk, Gap, LogReader, Piece
from supervisor.model import Stream
from supervisor.units import KIB
from web.api.logbody import merged
from web.streams.message import Message

_MOST_BYTES = 1000 * KIB
"""How long a message of output may be as JSON: many clients take 1 MiB."""
_TOGETHER_BYTES = 256 * KIB
"""How long frames may become together: very small ones are mostly header."""

_unfinished = attrgetter("unfinished")


class Form(Protocol):
    """One viewer's way of being told; `begin` is called first, and again wherever they go."""

    def begin(self, reader: LogReader, offset: int, streams: Sequence[Stream]) -> None:
        """What follows is what `streams` wrote from `offset` on."""

    def output(self, pieces: Sequence[Piece]) -> list[Message]:
        """The messages for pieces that follow each other."""

    def finish(self, offset: int) -> list[Message]:
        """What is left to say when the log has ended at `offset`."""

    @property
    def carry(self) -> Hashable:
        """All that the next messages depend on besides the pieces that they tell."""

    def resume(self, carry: Hashable) -> None:
        """Go on as the form would that had told all that led to `carry`."""


class BinaryForm:
    """Exact bytes: whole frames, as many to a message as were read at once; gaps as JSON."""

    def begin(self, reader: LogReader, offset: int, streams: Sequence[Stream]) -> None:
        """Bytes mean the same wherever one begins."""

    def output(self, pieces: Sequence[Piece]) -> list[Message]:
        """See Form."""
        result: list[Message] = []
        together: list[bytes] = []
        size = 0
        for piece in pieces if len(pieces) == 1 else merged(pieces):
            if together and (isinstance(piece, Gap) or size > _TOGETHER_BYTES):
                result.append(Message(*together, binary=True))
                together, size = [], 0
            if isinstance(piece, Gap):
                result.append(_gap(piece))
                continue
            count = len(piece.data)
            header = frames.output_header(piece.stream, piece.offset, count, piece.time_us)
            together += (header, piece.data)
            size += len(header) + count
        if together:
            result.append(Message(*together, binary=True))
        return result

    def finish(self, offset: int) -> list[Message]:
        """All was said."""
        del offset
        return []

    @property
    def carry(self) -> Hashable:
        """Nothing."""
        return None

    def resume(self, carry: Hashable) -> None:
        """See Form."""


class JsonForm:
    """Text: a character split over chunks comes whole, in the message with its last byte."""

    def __init__(self) -> None:
        """`begin` has to be called first."""
        self._reader: LogReader
        self._decoders: dict[Stream, messages.TextDecoder] = {}
        self._time_us = 0

    def begin(self, reader: LogReader, offset: int, streams: Sequence[Stream]) -> None:
        """See Form."""
        self._reader = reader
        self._decoders = {
            stream: messages.TextDecoder(reader.last_bytes(stream, offset, messages.SEED_BYTES))
            for stream in streams
        }

    def output(self, pieces: Sequence[Piece]) -> list[Message]:
        """See Form."""
        result: list[Message] = []
        for piece in pieces if len(pieces) == 1 else merged(pieces):
            if isinstance(piece, Gap):
                result += self.finish(piece.offset)
                result.append(_gap(piece))
                continue
            self._time_us = piece.time_us
            result += self._told(piece)
        return result

    def _told(self, chunk: Chunk) -> list[Message]:
        decoder = self._decoders[chunk.stream]
        unfinished = decoder.unfinished
        text = decoder.feed(chunk.data)
        message = _text(chunk.stream, text, chunk.offset, chunk.next, chunk.time_us)
        if len(message.frame) <= _MOST_BYTES:
            return [message]
        # A byte may become six, as a control character does, but seldom so many of them.
        decoder.unfinished = unfinished
        middle = len(chunk.data) // 2
        return [
            message
            for start, data in ((0, chunk.data[:middle]), (middle, chunk.data[middle:]))
            for message in self._told(
                Chunk(chunk.offset + start, data, chunk.stream, chunk.time_us)
            )
        ]

    def finish(self, offset: int) -> list[Message]:
        """A character that will never be complete is told as U+FFFD."""
        rests = [(stream, decoder.finish()) for stream, decoder in self._decoders.items()]
        if not any(rest for _stream, rest in rests):
            return []
        time_us = _time_before(self._reader, offset) or self._time_us
        return [_text(stream, rest, offset, offset, time_us) for stream, rest in rests if rest]

    @property
    def carry(self) -> Hashable:
        """The unfinished character of each stream."""
        return tuple(map(_unfinished, self._decoders.values()))

    def resume(self, carry: Hashable) -> None:
        """See Form."""
        assert isinstance(carry, tuple)  # noqa: S101 - it is one of ours
        for decoder, rest in zip(self._decoders.values(), carry, strict=True):
            decoder.unfinished = rest


def _time_before(reader: LogReader, offset: int) -> int:
    """When the byte before `offset` arrived, in µs; 0 if there is none."""
    pieces = reader.read(offset - 1, 1) if offset > 0 else []
    return next((piece.time_us for piece in pieces if isinstance(piece, Chunk)), 0)


def _text(stream: Stream, text: str, offset: int, until: int, time_us: int) -> Message:
    return Message(
        messages.output_message(stream, text, offset=offset, until=until, time_us=time_us)
    )


def _gap(gap: Gap) -> Message:
    return Message(messages.gap_message(gap.offset, gap.next, gap.reason))
