"""What viewers were told last, kept for those who come to the same place a moment later.

Those who watch a run live all want the same bytes at the same time. The first of them reads and
encodes; for the others it is there, message, frame and all. What a viewer is told depends on the
log and its place in it alone, so nobody can tell who was first. Nothing is kept without viewers,
and never more than a few batches a run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from web.streams.message import Message

_KEPT = 4
"""Whoever is more than that behind reads by itself."""


class Batch(Struct, frozen=True):
    """What lies between a place in the log and `next`: its messages, and what it leaves behind.

    `sent` has, for each chunk, where it ends and how many bytes it is. `carry` is what the form
    has to know of all before `next`.
    """

    messages: tuple[Message, ...]
    next: int
    sent: tuple[tuple[int, int], ...]
    carry: Hashable

    @property
    def size(self) -> int:
        """Bytes of output."""
        return sum(count for _until, count in self.sent)


class Recent:
    """The last batches of one run in one form."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.viewers = 0
        self._batches: OrderedDict[Hashable, Batch] = OrderedDict()

    def find(self, place: Hashable) -> Batch | None:
        """What was told from `place` on, an offset and what the form carries there."""
        return self._batches.get(place)

    def keep(self, place: Hashable, batch: Batch) -> None:
        """Have `batch` for those who come to `place`."""
        if self.viewers > 1:
            self._batches[place] = batch
            self._batches.move_to_end(place)
            if len(self._batches) > _KEPT:
                self._batches.popitem(last=False)


class Batches:
    """The `Recent` of every run that is watched."""

    def __init__(self) -> None:
        """Nobody watches yet."""
        self._recent: dict[Hashable, Recent] = {}

    @contextmanager
    def watching(self, what: Hashable) -> Iterator[Recent]:
        """That of `what`, a run in a form, while somebody watches."""
        recent = self._recent.setdefault(what, Recent())
        recent.viewers += 1
        try:
            yield recent
        finally:
            recent.viewers -= 1
            if not recent.viewers:
                del self._recent[what]
