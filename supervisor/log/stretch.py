"""Bytes of one stream that follow each other, though other streams may lie between them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct


class Place(Struct, frozen=True):
    """From `index` of the data on, bytes lie from `offset` of the log on."""

    index: int
    offset: int


class Stretch(Struct, frozen=True):
    """Bytes of one stream in order, and where each of them lies in the log."""

    data: bytes
    places: tuple[Place, ...]

    def offset_of(self, index: int) -> int:
        """Where byte `index` lies in the log; for what lies beyond, as if the last place went on."""
        place = self.places[max(0, bisect_right(self.places, index, key=_index) - 1)]
        return place.offset + index - place.index

    def after(self, index: int) -> Stretch:
        """What begins at byte `index`."""
        if index >= len(self.data):
            return EMPTY
        first = max(0, bisect_right(self.places, index, key=_index) - 1)
        begin = Place(0, self.offset_of(index))
        rest = (Place(place.index - index, place.offset) for place in self.places[first + 1 :])
        return Stretch(self.data[index:], (begin, *rest))

    def until(self, index: int) -> Stretch:
        """What ends before byte `index`."""
        kept = bisect_right(self.places, index - 1, key=_index)
        return Stretch(self.data[:index], self.places[:kept]) if index > 0 else EMPTY


EMPTY = Stretch(b"", ())


def join(parts: Sequence[Stretch]) -> Stretch:
    """One after the other."""
    filled = [part for part in parts if part.data]
    if len(filled) == 1:
        return filled[0]
    places: list[Place] = []
    length = 0
    for part in filled:
        places += (Place(at.index + length, at.offset) for at in part.places)
        length += len(part.data)
    return Stretch(b"".join(part.data for part in filled), tuple(places))


def stretch_of(pieces: Sequence[tuple[int, bytes]]) -> Stretch:
    """Of pieces in order, each its offset and its bytes, at least one."""
    places: list[Place] = []
    length = 0
    for offset, data in pieces:
        places.append(Place(length, offset))
        length += len(data)
    data = pieces[0][1] if len(pieces) == 1 else b"".join(data for _, data in pieces)
    return Stretch(data, tuple(places))


def _index(place: Place) -> int:
    return place.index


def char_start(data: bytes, index: int) -> int:
    """`index`, or if it lies within a character of UTF-8 where that begins."""
    for start in range(index, max(-1, index - 4), -1):
        byte = data[start] if start < len(data) else 0
        if byte & 0xC0 != 0x80:  # no continuation byte
            return start if index - start < _char_length(byte) else index
    return index


def _char_length(byte: int) -> int:
    """How long a character is that begins with this byte; 1 for what is no beginning."""
    if byte >= 0xF0:
        return 4
    if byte >= 0xE0:
        return 3
    return 2 if byte >= 0xC0 else 1
