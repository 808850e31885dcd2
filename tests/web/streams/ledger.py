"""What was written, as a plain list, and whether somebody was told just that."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from supervisor.log.logfile import Chunk, Piece
from supervisor.model import Stream
from tests.web.scene import Said

_SEEDS = range(4)
"""A character of UTF-8 may have begun up to three bytes before the place where one joins."""


class Ledger:
    """Every byte that a run wrote, in order, with its stream.

    The log keeps the first `most` of them, and none before `floor`: an offset that only rises.
    """

    def __init__(self, most: int | None) -> None:
        self.written: list[tuple[Stream, int]] = []
        self.most = most
        self.floor = 0

    @property
    def size(self) -> int:
        return len(self.written)

    def add(self, stream: Stream, data: bytes) -> None:
        self.written += ((stream, byte) for byte in data)

    def cut(self, size: int) -> None:
        """What comes after was never written: its writer was killed."""
        del self.written[size:]

    def said(self, stream: Stream, start: int, end: int) -> bytes:
        """What `stream` wrote there."""
        return bytes(byte for owner, byte in self.written[start:end] if owner is stream)

    def kept(self, start: int, end: int) -> bool:
        """Whether all of that was stored, when it was written."""
        return start >= end or self.most is None or end <= self.most

    def due(self, streams: Sequence[Stream], start: int, end: int) -> bool:
        """Whether there is something to tell of to whoever wants these streams."""
        return not self.kept(start, end) or any(self.said(each, start, end) for each in streams)

    def hits(self, needle: int, end: int) -> set[tuple[str, int, int]]:
        """Of every line before `end` with a `needle`: stream, where it starts, where that is."""
        found: set[tuple[str, int, int]] = set()
        lines: dict[Stream, int] = {}
        done: set[Stream] = set()
        for at, (stream, byte) in enumerate(self.written[:end]):
            if at < self.floor or not self.kept(at, at + 1):
                continue
            begin = lines.setdefault(stream, at)
            if byte == needle and stream not in done:
                found.add((stream.label, begin, at))
                done.add(stream)
            if byte == ord("\n"):
                del lines[stream]
                done.discard(stream)
        return found


class Witness:
    """All that one reader was told, across cuts, each time with the floor of that moment."""

    def __init__(self, ledger: Ledger, streams: Sequence[Stream]) -> None:
        self.at = 0
        """Where to go on."""
        self.seq = 0
        """The last status that was told."""
        self._ledger = ledger
        self._streams = streams
        self._heard: list[tuple[Said, int]] = []

    def begin(self, offset: int) -> None:
        """What follows goes on from there."""
        self.hear([{"type": "seek", "from": offset}])

    def hear(self, said: Iterable[Said]) -> None:
        for message in said:
            self._heard.append((message, self._ledger.floor))
            places = (message[key] for key in ("next", "to", "from") if key in message)
            self.at = next(places, self.at)
            self.seq = message.get("seq", self.seq)

    def read(self, pieces: Iterable[Piece]) -> None:
        """What a reader without messages got."""
        for piece in pieces:
            if isinstance(piece, Chunk):
                where = {"offset": piece.offset, "next": piece.next}
                self.hear([{"type": piece.stream.label, "data": piece.data, **where}])
            else:
                where = {"from": piece.offset, "to": piece.next}
                self.hear([{"type": "gap", "reason": piece.reason, **where}])

    def check(self, end: int, *, events: int | None = None) -> None:
        """It was told every byte up to `end` from each place on where it began, once; and each of
        so many events, none before its place.
        """
        place = _Place(self._ledger, 0, self._streams)
        statuses = []
        for message, floor in self._heard:
            if message["type"] == "seek":
                place = _Place(self._ledger, message["from"], self._streams)
            elif message["type"] == "gap":
                place.pass_gap(message, floor)
            elif message["type"] == "status":
                statuses.append(message["seq"])
                place.reach(message["offset"])
            elif message["type"] == "end":
                assert message["offset"] == self._ledger.size
            else:
                place.output(message)
        place.skip_to(end)
        assert events is None or statuses == list(range(1, events + 1))


class _Place:
    """Where a reader is, and what may have to come next."""

    def __init__(self, ledger: Ledger, at: int, streams: Sequence[Stream]) -> None:
        self._ledger = ledger
        self._at = at
        self._streams = streams
        self._decoders = {
            stream: [_decoder(ledger.said(stream, 0, at), count) for count in _SEEDS]
            for stream in Stream
        }

    def skip_to(self, offset: int) -> None:
        """Nothing that was wanted lies before `offset`."""
        assert offset >= self._at
        self.reach(offset)
        self._at = offset

    def reach(self, offset: int) -> None:
        """All that was wanted before `offset` was told."""
        assert not self._ledger.due(self._streams, self._at, offset), (self._at, offset)

    def output(self, message: Said) -> None:
        begin, end, data = message["offset"], message["next"], message["data"]
        self.skip_to(begin)
        stream = Stream[message["type"].upper()]
        wrote = self._ledger.said(stream, begin, end)
        assert stream in self._streams
        assert len(wrote) == end - begin, "bytes of another stream, or of none"
        assert self._ledger.kept(begin, end)
        if isinstance(data, bytes):
            assert data == wrote
        else:
            able = self._decoders[stream]
            last = begin == end
            able = [each for each in able if each.decode(wrote, last) == data]
            assert able, message
            self._decoders[stream] = able
        self._at = end

    def pass_gap(self, message: Said, floor: int) -> None:
        begin, end = message["from"], message["to"]
        self.skip_to(begin)
        assert end > begin
        if message["reason"] == "trimmed":
            assert end <= floor
        else:
            assert message["reason"] == "not_kept"
            assert not any(self._ledger.kept(at, at + 1) for at in range(begin, end))
        self._decoders = {stream: [_decoder(b"", 0)] for stream in Stream}
        self._at = end


def _decoder(before: bytes, count: int) -> codecs.IncrementalDecoder:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(before[len(before) - min(count, len(before)) :])
    return decoder
