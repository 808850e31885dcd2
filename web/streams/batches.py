"""What viewers were told last, kept for those who come to the same place a moment later.

Those who watch a run live all want the same bytes at the same time. The first of them reads and
encodes; for the others it is there, message, frame and all. What a viewer is told depends on the
log and its place in it alone, so nobody can tell who was first. Nothing is kept without viewers,
and never more than KEPT_BYTES of all runs together: those who lag by less share what one has read.

Those who have seen everything wait as a crowd, which is told what comes by whoever wrote it: at
once, in one go, and without waking any of them. Whoever cannot be told without waiting goes on by
itself.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol

import trio
from msgspec import Struct

from supervisor.errors import RunwireError
from supervisor.pulse import Pulse
from supervisor.units import KIB, MIB
from web.streams.message import Message

_log = logging.getLogger("runwire.web")

KEPT_BYTES = 8 * MIB
"""Of what viewers were told last. Whoever is so far behind that it is gone reads by itself."""
_OVERHEAD = 1 * KIB

Place = tuple[int, Hashable]
"""An offset in the log, and what the form has to know of all before it."""


class Batch(Struct, frozen=True):
    """What lies between two places in the log: its messages.

    `sent` has, for each chunk, where it ends and how many bytes it is.
    """

    before: Place
    messages: tuple[Message, ...]
    after: Place
    sent: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of output."""
        return sum(count for _until, count in self.sent)

    @property
    def weight(self) -> int:
        """Bytes of messages, and something for each to be remembered at all."""
        return _OVERHEAD + sum(len(message.frame) for message in self.messages)


class Idle(Protocol):
    """A viewer that has seen everything."""

    def next_batch(self, place: Place) -> Batch | None:
        """What comes at `place`, read as this viewer would; None if there is nothing more.

        Raises Alone if each has to see to what comes itself, or to something else.
        """

    def tell(self, batch: Batch) -> bool:
        """Tell it, if that can be done without waiting; whether it was. Never raises."""

    def go_on(self, place: Place) -> None:
        """It has been told everything up to `place`."""


class Alone(Exception):
    """What comes is not told to all in one go."""


class Crowd:
    """Viewers that have seen everything and wait at one place, so that the same can be told to all.

    What is needed to tell one of many of them counts, and so it is next to nothing but the sending.
    """

    def __init__(self, place: Place) -> None:
        """Nobody waits yet."""
        self.place = place
        self.members: dict[Idle, trio.Event] = {}

    async def wait(self, viewer: Idle) -> None:
        """Return when `viewer` has to go on by itself."""
        wake = self.members[viewer] = trio.Event()
        try:
            await wake.wait()
        finally:
            if viewer in self.members:
                self._let_go(viewer)

    def tell(self) -> None:
        """Something has happened to the run: tell everyone. Whoever cannot be told goes on alone."""
        try:
            while self.members and (batch := next(iter(self.members)).next_batch(self.place)):
                self.place = batch.after
                for viewer in list(self.members):
                    if not viewer.tell(batch):
                        # It waits no more, though its turn is yet to come.
                        self.members.pop(viewer).set()
        except (Alone, RunwireError):
            pass  # Each finds out by itself what there is to do, or what is wrong with the log.
        except Exception:  # noqa: BLE001 - a bug here is no reason to end the one who wrote
            _log.exception("those who watch a run go on each by itself")
        else:
            return
        for viewer in list(self.members):
            self._let_go(viewer)

    def _let_go(self, viewer: Idle) -> None:
        viewer.go_on(self.place)
        self.members.pop(viewer).set()


class Recent:
    """The last batches of one run in one form, and those who wait for the next."""

    def __init__(self, shelf: Shelf) -> None:
        """Nothing was told yet; what is goes to the `shelf`."""
        self.viewers = 0
        self._shelf = shelf
        self._crowds: list[Crowd] = []

    async def wait(self, viewer: Idle, place: Place, changed: Pulse) -> None:
        """Return when there is something that `viewer` has to see to itself.

        It has seen everything up to `place`, and between its last look at the log and this call
        there was no other await. `changed` is that of the run.
        """
        crowd = next((crowd for crowd in self._crowds if crowd.place == place), None)
        if crowd is None:
            crowd = Crowd(place)
            self._crowds.append(crowd)
        try:
            with changed.calling(crowd.tell):
                await crowd.wait(viewer)
        finally:
            if not crowd.members and crowd in self._crowds:
                self._crowds.remove(crowd)

    def find(self, place: Place) -> Batch | None:
        """What was told from `place` on."""
        return self._shelf.find(self, place)

    def keep(self, batch: Batch) -> None:
        """Have `batch` for those who come to where it begins."""
        if self.viewers > 1:
            self._shelf.keep(self, batch)


class Shelf:
    """The batches that were told last, of all runs; the oldest make room for new ones."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        """`limit` in bytes of messages."""
        self._limit = limit
        self._bytes = 0
        self._batches: OrderedDict[tuple[int, Place], Batch] = OrderedDict()

    def find(self, recent: Recent, place: Place) -> Batch | None:
        """What was told of a run from `place` on."""
        return self._batches.get((id(recent), place))

    def keep(self, recent: Recent, batch: Batch) -> None:
        """Have `batch` for those who come to where it begins."""
        key = id(recent), batch.before
        self._drop(key)
        self._batches[key] = batch
        self._bytes += batch.weight
        while self._bytes > self._limit:
            self._drop(next(iter(self._batches)))

    def forget(self, recent: Recent) -> None:
        """Nobody comes any more."""
        for key in [key for key in self._batches if key[0] == id(recent)]:
            self._drop(key)

    def _drop(self, key: tuple[int, Place]) -> None:
        batch = self._batches.pop(key, None)
        if batch is not None:
            self._bytes -= batch.weight


class Batches:
    """The `Recent` of every run that is watched."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        """Nobody watches yet. `limit` is how many bytes are kept of what they were told."""
        self._shelf = Shelf(limit)
        self._recent: dict[Hashable, Recent] = {}

    @contextmanager
    def watching(self, what: Hashable) -> Iterator[Recent]:
        """That of `what`, a run in a form, while somebody watches."""
        recent = self._recent.get(what)
        if recent is None:
            recent = self._recent[what] = Recent(self._shelf)
        recent.viewers += 1
        try:
            yield recent
        finally:
            recent.viewers -= 1
            if not recent.viewers:
                del self._recent[what]
                self._shelf.forget(recent)
