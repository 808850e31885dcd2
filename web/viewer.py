"""One viewer of one run: a cursor over the log, and what it is to be told next.

Replay and live are the same loop: read at the cursor, tell, and at the end of the log wait to be
woken and look again. A viewer is a few numbers and at most one batch of bytes, however far it has
fallen behind. Who sends the messages, and over what, is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec
import trio
from msgspec import Struct

from supervisor import frames, messages
from supervisor.errors import Stalled
from supervisor.logfile import Chunk, Gap, Piece
from supervisor.logview import LogView
from supervisor.model import Status, Stream
from supervisor.wire import EventView, RunView
from web.logbody import LogCursor, Wanted, merged

Message = str | bytes
"""Text is JSON, bytes are frames of output."""

HEARTBEAT_S = 20.0
STALL_S = 60.0
"""How long a viewer with a window may acknowledge nothing while bytes wait for it."""


class Wish(Struct, frozen=True):
    """What a viewer wants: from which offset, which stream (None: both), how much at once.

    `seq` is the last status it has seen, `window` the bytes that may be unacknowledged.
    """

    start: int = 0
    stream: Stream | None = None
    window: int | None = None
    seq: int = 0


class Window:
    """How much more may be sent to a viewer that acknowledges what it has dealt with."""

    def __init__(self, size: int | None) -> None:
        """`size` in bytes; None for no bound."""
        self._size = size
        self._sent: deque[tuple[int, int]] = deque()
        self._unacknowledged = 0

    @property
    def room(self) -> int | None:
        """How many bytes may be sent now; None for no bound."""
        return None if self._size is None else max(0, self._size - self._unacknowledged)

    def sent(self, until: int, count: int) -> None:
        """`count` bytes were sent; whoever has them is at offset `until`."""
        if self._size is not None:
            self._sent.append((until, count))
            self._unacknowledged += count

    def acknowledge(self, offset: int) -> None:
        """Everything before `offset` has been dealt with."""
        while self._sent and self._sent[0][0] <= offset:
            self._unacknowledged -= self._sent.popleft()[1]

    def reset(self) -> None:
        """Forget what was sent: the viewer went elsewhere."""
        self._sent.clear()
        self._unacknowledged = 0


class Viewer:
    """See the module. `ack` and `seek` may be called at any time while `messages` is iterated."""

    def __init__(self, view: LogView, events: Sequence[EventView], wish: Wish, form: Form) -> None:
        """`events` are all of the run's so far; for a live run the list grows by itself."""
        self._view = view
        self._events = events
        self._cursor = LogCursor(view, Wanted(wish.start, None, wish.stream))
        self._window = Window(wish.window)
        self._form = form
        self._told = wish.seq
        self._status = Status.QUEUED
        self._next_event = 0
        self._acknowledged = trio.Event()
        self._seek: int | None = None
        self._form.begin(view, wish.start)

    def ack(self, offset: int) -> None:
        """The viewer has dealt with everything before `offset`."""
        self._window.acknowledge(offset)
        self._acknowledged.set()

    def seek(self, offset: int) -> None:
        """Go on at `offset`, which lies in the log."""
        self._seek = offset
        self._acknowledged.set()
        self._view.changed.fire()

    async def messages(
        self, end: Callable[[], Awaitable[RunView]]
    ) -> AsyncGenerator[Message, None]:
        """Everything, in order, through `end`, which waits for the run's end and shows the run.

        Raises Stalled if the viewer's window stays full for STALL_S.
        """
        while True:
            self._follow_seek()
            # Looked at before reading: what was complete then has been read to its end after.
            complete = self._view.complete
            for message in self._due_statuses():
                yield message
            if self._window.room == 0:
                await self._wait_for_room()
                continue
            size = self._view.reader.size
            if self._cursor.at < size:
                for message in await self._read(size):
                    yield message
            elif complete:
                break
            elif not await self._wait_for_more():
                yield PING
            await trio.lowlevel.checkpoint()
        for message in self._form.finish(self._cursor.at):
            yield message
        run = await end()
        for message in self._due_statuses():
            yield message
        yield messages.end_message(run.log.size, run).decode()

    def _follow_seek(self) -> None:
        if self._seek is not None:
            self._cursor.at, self._seek = self._seek, None
            self._window.reset()
            self._form.begin(self._view, self._cursor.at)

    def _due_statuses(self) -> list[Message]:
        """What happened to the run up to here and has not been told."""
        due: list[Message] = []
        while self._next_event < len(self._events):
            event = self._events[self._next_event]
            if event.entry.log_offset > self._cursor.at:
                break
            self._next_event += 1
            message = messages.status_message(event, self._status)
            self._status = message.data
            if event.run_seq > self._told:
                due.append(msgspec.json.encode(message).decode())
        return due

    async def _read(self, size: int) -> list[Message]:
        stop = size
        if self._next_event < len(self._events):
            stop = min(stop, self._events[self._next_event].entry.log_offset)
        pieces = await self._cursor.read(stop, self._window.room)
        count = sum(len(piece.data) for piece in pieces if isinstance(piece, Chunk))
        if count:
            self._window.sent(self._cursor.at, count)
        return self._form.output(pieces)

    async def _wait_for_room(self) -> None:
        self._acknowledged = trio.Event()
        with trio.move_on_after(STALL_S):
            await self._acknowledged.wait()
            return
        raise Stalled("nothing was acknowledged for a minute")

    async def _wait_for_more(self) -> bool:
        """False if nothing happened for HEARTBEAT_S."""
        with trio.move_on_after(HEARTBEAT_S) as patience:
            await self._view.changed.wait()
        return not patience.cancelled_caught


PING = messages.PING.decode()


class Form:
    """How output becomes messages."""

    def begin(self, view: LogView, offset: int) -> None:
        """The viewer is at `offset` from now on."""

    def output(self, pieces: list[Piece]) -> list[Message]:
        """The messages for pieces that follow each other."""
        raise NotImplementedError

    def finish(self, offset: int) -> list[Message]:
        """What is left to say at the log's end."""
        del offset
        return []


class BinaryForm(Form):
    """Exact bytes: whole frames, as many to a message as were read at once; gaps as JSON."""

    def output(self, pieces: list[Piece]) -> list[Message]:
        """See Form."""
        result: list[Message] = []
        run: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, Chunk):
                run.append(
                    frames.encode_data(piece.stream, piece.offset, piece.data, piece.time_us)
                )
                continue
            if run:
                result.append(b"".join(run))
                run = []
            result.append(_gap(piece))
        if run:
            result.append(b"".join(run))
        return result


class JsonForm(Form):
    """Text: a character split over chunks comes whole, in the message with its last byte."""

    def __init__(self) -> None:
        """`begin` has to be called first."""
        self._decoders: dict[Stream, messages.TextDecoder] = {}
        self._time_us = 0

    def begin(self, view: LogView, offset: int) -> None:
        """See Form."""
        self._decoders = {
            stream: messages.TextDecoder(
                view.reader.last_bytes(stream, offset, messages.SEED_BYTES)
            )
            for stream in Stream
        }

    def output(self, pieces: list[Piece]) -> list[Message]:
        """See Form."""
        result: list[Message] = []
        for piece in merged(pieces):
            if isinstance(piece, Gap):
                result += self.finish(piece.offset)
                result.append(_gap(piece))
                continue
            self._time_us = piece.time_us
            text = self._decoders[piece.stream].feed(piece.data)
            result.append(_text(piece.stream, text, piece.offset, piece.next, piece.time_us))
        return result

    def finish(self, offset: int) -> list[Message]:
        """A character that will never be complete is told as U+FFFD."""
        rests = [(stream, decoder.finish()) for stream, decoder in self._decoders.items()]
        return [
            _text(stream, rest, offset, offset, self._time_us) for stream, rest in rests if rest
        ]


def _text(stream: Stream, text: str, offset: int, until: int, time_us: int) -> str:
    return messages.output_message(
        stream, text, offset=offset, until=until, time_us=time_us
    ).decode()


def _gap(gap: Gap) -> str:
    return messages.gap_message(gap.offset, gap.next, gap.reason).decode()
