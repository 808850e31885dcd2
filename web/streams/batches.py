"""What viewers were told last, kept for those who come to the same place a moment later.

Those who watch a run live all want the same bytes at the same time. The first of them reads and
encodes; for the others it is there, message, frame and all. What a viewer is told depends on the
log and its place in it alone, so nobody can tell who was first. Nothing is kept without viewers,
and never more than a few batches a run.

Who has seen everything is idle: one task, the pump, tells all of these what comes, in one go and
without waking any of them. Whoever cannot be told everything at once goes on by itself.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol

import trio
from msgspec import Struct

from supervisor.errors import RunwireError
from supervisor.logview import LogView
from web.streams.message import Message

_log = logging.getLogger("runwire.web")

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


class Idle(Protocol):
    """A viewer that has seen everything."""

    def catch_up(self, size: int) -> bool:
        """Tell it all up to `size`. False if it has to see to that, or to something else, itself.

        Not called again before it waits again.
        """


class Recent:
    """The last batches of one run in one form, and those who wait for the next."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.viewers = 0
        self.pumping = trio.CancelScope()
        """Cancelled when nobody watches any more."""
        self._pumped = False
        self._batches: OrderedDict[Hashable, Batch] = OrderedDict()
        self._idle: dict[Idle, trio.Event] = {}

    async def wait(self, viewer: Idle, view: LogView) -> None:
        """Return when there is something that `viewer` has to see to itself.

        Between its last look at the log and this call there must be no other await.
        """
        if not self._pumped:
            await view.changed.wait()
            return
        wake = self._idle[viewer] = trio.Event()
        try:
            await wake.wait()
        finally:
            self._idle.pop(viewer, None)

    async def pump(self, view: LogView) -> None:
        """Tell the idle ones what comes, until `pumping` is cancelled. Closes `view`."""
        self._pumped = True
        try:
            with self.pumping, view:
                while True:
                    self._tell_idle(view)
                    await view.changed.wait()
        except Exception:  # noqa: BLE001 - a bug here is no reason to end the server
            _log.exception("those who watch are told each by itself from now on")
        finally:
            self._pumped = False
            for viewer in list(self._idle):
                self._wake(viewer)

    def _tell_idle(self, view: LogView) -> None:
        told = 0
        idle = list(self._idle)
        try:
            size = view.reader.size
            for viewer in idle:
                if not viewer.catch_up(size):
                    self._wake(viewer)
                told += 1
        except RunwireError:  # Each finds out by itself what is wrong with its log.
            for viewer in idle[told:]:
                self._wake(viewer)

    def _wake(self, viewer: Idle) -> None:
        """Have `viewer` go on by itself. It counts as idle no more, though its turn is yet to come."""
        self._idle.pop(viewer).set()

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

    def __init__(self, nursery: trio.Nursery | None = None) -> None:
        """Nobody watches yet. Pumps run in `nursery`; without one, every viewer wakes by itself."""
        self._nursery = nursery
        self._recent: dict[Hashable, Recent] = {}

    @contextmanager
    def watching(self, what: Hashable, open_view: Callable[[], LogView]) -> Iterator[Recent]:
        """That of `what`, a run in a form, while somebody watches. `open_view` opens its log."""
        recent = self._recent.get(what)
        if recent is None:
            recent = self._recent[what] = Recent()
            if self._nursery is not None:
                self._nursery.start_soon(recent.pump, open_view())
        recent.viewers += 1
        try:
            yield recent
        finally:
            recent.viewers -= 1
            if not recent.viewers:
                del self._recent[what]
                recent.pumping.cancel()
