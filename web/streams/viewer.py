"""One viewer of one run: a cursor over the log, and what it is to be told next.

Replay and live are the same loop: read at the cursor, tell, and at the end of the log wait to be
woken and look again. A viewer is a few numbers and at most one batch of bytes, however far it has
fallen behind. Who sends the messages, and over what, is not known here.

One that has seen everything waits as one of a crowd, and is told what comes together with it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec
import trio
from msgspec import Struct

from supervisor import messages
from supervisor.errors import RangeNotSatisfiable, ShuttingDown, Stalled
from supervisor.log.logfile import Chunk, Piece
from supervisor.logview import LogView
from supervisor.model import Status, Stream
from supervisor.pulse import Pulse
from supervisor.units import KIB
from supervisor.wire import EventView, RunView
from web.api.logbody import LogCursor, Wanted, start_offset
from web.streams.batches import Alone, Batch, Place, Recent, Shelf
from web.streams.forms import Form
from web.streams.message import Message
from web.streams.window import Window

_log = logging.getLogger("runwire.web")

BATCH_BYTES = 256 * KIB
"""What is sent costs by the message as much as by the byte."""
_AT_ONCE_BYTES = 1024 * KIB
"""More than that is not told in one go: others wait for it."""
STALL_S = 60.0
"""How long a viewer with a window may acknowledge nothing while bytes wait for it."""


class Wish(Struct, frozen=True):
    """What a viewer wants: from which offset, which stream (None: both), how much at once.

    `start` below zero counts from the log's end; `seq` is the last status it has seen, `window`
    the bytes that may be unacknowledged.
    """

    start: int = 0
    stream: Stream | None = None
    window: int | None = None
    seq: int = 0


class Viewer:
    """See the module. `ack`, `seek` and `leave` may be called while `messages` is iterated."""

    def __init__(
        self,
        view: LogView,
        events: Sequence[EventView],
        wish: Wish,
        form: Form,
        recent: Recent | None = None,
        say_now: Callable[[Message], bool] | None = None,
    ) -> None:
        """`events` are all of the run's so far; for a live run the list grows by itself.

        `recent` is shared by all viewers of the run in the same form and of the same streams.
        `say_now` sends a message if that can be done without waiting, and tells whether it did.
        Raises RangeNotSatisfiable if the log does not reach as far as `wish.start`.
        """
        self._view = view
        self._events = events
        self._streams = tuple(Stream) if wish.stream is None else (wish.stream,)
        self._cursor = LogCursor(view, Wanted(0, None, wish.stream))
        self._window = Window(wish.window)
        self._form = form
        self._recent = recent or Recent(Shelf())
        self._say_now = say_now or _never
        self._unsaid: Sequence[Message] = ()
        self._told = wish.seq
        self._status = Status.QUEUED
        self._next_event = 0
        self._acknowledged = Pulse()
        self._sought: int | None = None
        self._leaving = False
        self._waiting = trio.CancelScope()
        self._here: Place
        """Where it was found to be last; nothing but `go_on` has moved it since."""
        self._go_to(wish.start)

    def ack(self, offset: int) -> None:
        """The viewer has dealt with everything before `offset`."""
        self._window.acknowledge(offset)
        self._acknowledged.fire()

    def seek(self, offset: int) -> None:
        """Go on at `offset`; below zero it counts from the log's end."""
        self._sought = offset
        self._acknowledged.fire()
        self._waiting.cancel()

    def leave(self) -> None:
        """Wait for nothing more: when all there is was told, `messages` raises ShuttingDown."""
        self._leaving = True
        self._waiting.cancel()

    async def messages(
        self, end: Callable[[], Awaitable[RunView]]
    ) -> AsyncGenerator[Message, None]:
        """Everything, in order, through the `end` message, for which `end` shows the run.

        Raises Stalled if the viewer's window stays full for STALL_S, RangeNotSatisfiable for a
        seek beyond the log, and ShuttingDown after `leave`.
        """
        # From looking to waiting there is no await but the wait, so that no wake-up is missed.
        while not self._done():
            batch = self._due() or await self._advance()
            for message in batch:
                yield message
            if not batch:
                await trio.lowlevel.checkpoint()
        for message in [*self._form.finish(self._cursor.at), *self._statuses(None)]:
            yield message
        run = await end()
        yield Message(messages.end_message(run.log.size, run))

    def _done(self) -> bool:
        """Whether the run has ended and all of its log was told."""
        ended = self._view.ended  # looked at first: what was written before it is seen then
        return ended and self._sought is None and self._cursor.at >= self._view.size

    def _due(self) -> Sequence[Message]:
        """What is to be told before the log goes on."""
        if self._sought is None:
            return self._statuses(self._cursor.at)
        wished, self._sought = self._sought, None
        self._window.reset()
        self._go_to(wished)
        return [Message(messages.seek_message(self._cursor.at))]

    async def _advance(self) -> Sequence[Message]:
        """What lies at the cursor; nothing if there was something to wait for first."""
        size = self._view.size
        if self._cursor.at >= size:
            if self._leaving:
                raise ShuttingDown("the server is going away")
            with trio.CancelScope() as self._waiting:
                await self._recent.wait(self, self._place(), self._view.changed)
            unsaid, self._unsaid = self._unsaid, ()
            return unsaid
        if self._window.room == 0:
            await self._wait_for_room()
            return []
        return await self._read(size)

    async def _read(self, size: int) -> Sequence[Message]:
        stop = size
        if self._next_event < len(self._events):
            # It is told at its place, unless a crash of the machine took that place away.
            stop = min(stop, self._events[self._next_event].entry.log_offset)
        room = self._window.room
        aligned = _aligned(self._cursor.at)
        limit = aligned if room is None else min(room, aligned)
        place = self._place()
        batch = self._told_before(place, stop, limit)
        if batch is None:
            batch = self._batch_of(place, await self._cursor.read(stop, limit))
        return self._counted(batch)

    # --- as one of a crowd: see `Idle` -----------------------------------------------------------

    def next_batch(self, place: Place) -> Batch | None:
        """See Idle."""
        at = place[0]
        size = self._view.size
        if self._next_event < len(self._events) or self._view.ended:
            raise Alone
        if at >= size:
            return None
        if size - at > _AT_ONCE_BYTES:
            raise Alone
        self.go_on(place)
        limit = _aligned(at)
        batch = self._batch_of(place, self._cursor.read_now(size, limit))
        if batch.after == place:
            raise Alone  # Nothing could be read: not a thing to try for ever in here.
        return batch

    def tell(self, batch: Batch) -> bool:
        """See Idle."""
        room = self._window.room
        if room is not None:
            if room < batch.size:
                self.go_on(batch.before)
                return False
            self._count(batch)
        said = 0
        try:
            while said < len(batch.messages) and self._say_now(batch.messages[said]):
                said += 1
        except Exception:  # noqa: BLE001 - a bug here is no reason to end the one who wrote
            _log.exception("one who watches a run is told by its own task from now on")
            self._say_now = _never
        if said == len(batch.messages):
            return True
        self._unsaid = batch.messages[said:]
        self.go_on(batch.after)
        return False

    def go_on(self, place: Place) -> None:
        """See Idle."""
        if place is not self._here:
            self._here = place
            self._cursor.at, carry = place
            self._form.resume(carry)

    # --- reading ---------------------------------------------------------------------------------

    def _told_before(self, place: Place, stop: int, limit: int) -> Batch | None:
        """What another viewer was told at `place`, if that may be told now."""
        batch = self._recent.find(place)
        if batch is None or batch.after[0] > stop or batch.size > limit:
            return None
        self.go_on(batch.after)
        return batch

    def _place(self) -> Place:
        self._here = self._cursor.at, self._form.carry
        return self._here

    def _batch_of(self, before: Place, pieces: Sequence[Piece]) -> Batch:
        batch = Batch(
            before=before,
            messages=tuple(self._form.output(pieces)),
            after=self._place(),
            sent=tuple([(p.next, len(p.data)) for p in pieces if isinstance(p, Chunk)]),
        )
        self._recent.keep(batch)
        return batch

    def _counted(self, batch: Batch) -> Sequence[Message]:
        self._count(batch)
        return batch.messages

    def _count(self, batch: Batch) -> None:
        for until, count in batch.sent:
            self._window.sent(until, count)

    async def _wait_for_room(self) -> None:
        with trio.move_on_after(STALL_S):
            while self._window.room == 0 and self._sought is None:
                await self._acknowledged.wait()
            return
        raise Stalled(f"nothing was acknowledged for {STALL_S:g} seconds")

    def _statuses(self, place: int | None) -> list[Message]:
        """What happened to the run up to `place` (None: at all) and has not been told."""
        due: list[Message] = []
        while self._next_event < len(self._events):
            event = self._events[self._next_event]
            if place is not None and event.entry.log_offset > place:
                break
            self._next_event += 1
            message = messages.status_message(event, self._status)
            self._status = message.data
            if event.run_seq > self._told:
                due.append(Message(msgspec.json.encode(message)))
        return due

    def _go_to(self, wished: int) -> None:
        offset = start_offset(self._view, wished)
        reader = self._view.reader
        if offset > reader.size:
            raise RangeNotSatisfiable(
                f"the log ends at {reader.size}", oldest=reader.oldest, size=reader.size
            )
        self._cursor.at = offset
        self._form.begin(reader, offset, self._streams)


def _never(_message: Message) -> bool:
    return False


def _aligned(at: int) -> int:
    """How much to tell at once: up to a place where others end, too, so that they meet there."""
    return BATCH_BYTES - at % BATCH_BYTES
