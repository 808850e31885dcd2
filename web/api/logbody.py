"""A log as the body of an answer: replay and live are one loop over the log with a cursor.

A viewer is an offset. What has been written is read and sent; at the end of the log the loop waits
to be woken and looks again, until no further byte can come. A client that takes its time only
stays behind, and nothing is queued for it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress

import trio
from msgspec import Struct
from quart.wrappers.response import ResponseBody

from supervisor.log.logfile import Chunk, Gap, Piece
from supervisor.logview import LogView
from supervisor.model import Stream
from supervisor.units import KIB, MIB

_READ_BYTES = 256 * KIB
_FAR_BYTES = 32 * MIB
"""So far behind, what is read may not be in memory any more, and reading may wait for a disk."""
_CHECK_S = 2.0
_TOGETHER_US = 100_000
"""Bytes that arrived within this time may be told together, with the time of the first."""


class Wanted(Struct, frozen=True):
    """Which part of a log: from `start` up to `stop` (None: until the run ends), one stream or all."""

    start: int
    stop: int | None
    stream: Stream | None = None


def start_offset(view: LogView, wished: int) -> int:
    """The offset that `wished` means: itself, or, below zero, that far from the end of the log.

    Moved back to the start of a line then. What lies beyond the log is for the reader to refuse.
    """
    if wished >= 0:
        return wished
    return view.reader.line_start_before(max(view.reader.oldest, view.reader.size + wished))


class LogCursor:
    """A viewer: an offset in a log, and what they want of it."""

    def __init__(
        self, view: LogView, wanted: Wanted, check: Callable[[], None] | None = None
    ) -> None:
        """Nothing is read yet. The caller closes `view`.

        `check` is called again and again while the cursor advances, and may raise to end it.
        """
        self.at = wanted.start
        """Where to go on: everything wanted before it was given."""
        self.stream = wanted.stream
        self._stop = wanted.stop
        self._view = view
        self._check = check

    async def advance(self) -> list[Piece] | None:
        """The next pieces, as soon as there are any; None at the end."""
        while self._stop is None or self.at < self._stop:
            await trio.lowlevel.checkpoint()
            if self._check is not None:
                self._check()
            complete = self._view.complete
            size = self._view.reader.size
            if self.at < size:
                if pieces := await self.read(size if self._stop is None else self._stop):
                    return pieces
            elif complete:
                return None
            else:
                with trio.move_on_after(math.inf if self._check is None else _CHECK_S):
                    await self._view.changed.wait()
        return None

    async def read(self, stop: int, room: int | None = None) -> list[Piece]:
        """What lies at the cursor, which moves past it: up to `stop`, and `room` bytes of it.

        May be empty where only the other stream wrote. Far behind the end, a thread reads what is
        not in memory.
        """
        limit = min(_READ_BYTES, stop - self.at)
        if room is not None:
            limit = min(limit, room)
        if self._view.reader.size - self.at > _FAR_BYTES:
            with suppress(BlockingIOError), self._view.reader.without_waiting():
                return self._read(stop, limit)
            return await trio.to_thread.run_sync(self._read, stop, limit)
        return self._read(stop, limit)

    def read_now(self, stop: int, limit: int) -> list[Piece]:
        """As `read`, without waiting: for what is near the end, and so still in memory."""
        limit = min(limit, _READ_BYTES, stop - self.at)
        newest = None if self.stream else self._view.newest(self.at, limit)
        if newest is None:
            return self._read(stop, limit)
        self.at += len(newest.data)
        return [newest]

    def _read(self, stop: int, limit: int) -> list[Piece]:
        if self.stream is None:
            pieces = self._view.reader.read(self.at, limit)
            self.at = pieces[-1].next if pieces else self.at
            return pieces
        part = self._view.reader.read_stream(self.stream, self.at, limit)
        self.at = min(part.next, stop)
        if part.pieces and isinstance(part.pieces[-1], Gap):
            self.at = max(self.at, part.pieces[-1].next)
        return [_cut(piece, stop) for piece in part.pieces if piece.offset < stop]


def _cut(piece: Piece, stop: int) -> Piece:
    if piece.next <= stop or isinstance(piece, Gap):
        return piece
    return Chunk(piece.offset, piece.data[: stop - piece.offset], piece.stream, piece.time_us)


async def raw_bytes(cursor: LogCursor) -> AsyncGenerator[bytes, None]:
    """The log's bytes and nothing else."""
    while (batch := await cursor.advance()) is not None:
        data = b"".join(piece.data for piece in batch if isinstance(piece, Chunk))
        if data:
            yield data


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The same pieces, with neighbours of one stream made one: a frame costs more than its bytes."""
    if len(pieces) == 1:
        return list(pieces)
    result: list[Piece] = []
    run: list[Chunk] = []
    for piece in pieces:
        if run and not (
            isinstance(piece, Chunk)
            and piece.stream is run[0].stream
            and piece.offset == run[-1].next
            and abs(piece.time_us - run[0].time_us) < _TOGETHER_US
        ):
            result.append(_joined(run))
            run = []
        if isinstance(piece, Chunk):
            run.append(piece)
        else:
            result.append(piece)
    if run:
        result.append(_joined(run))
    return result


def _joined(run: list[Chunk]) -> Chunk:
    first = run[0]
    if len(run) == 1:
        return first
    return Chunk(first.offset, b"".join(chunk.data for chunk in run), first.stream, first.time_us)


class LogBody(ResponseBody):
    """A body that reads a log as it is sent, and closes it whatever happens."""

    def __init__(
        self,
        open_view: Callable[[], LogView],
        render: Callable[[LogView], AsyncGenerator[bytes, None]],
    ) -> None:
        """Nothing is opened before the first byte is wanted."""
        self._open_view = open_view
        self._render = render

    async def __aenter__(self) -> AsyncIterator[bytes]:
        """The bytes."""
        self._view = self._open_view()
        self._bytes = self._render(self._view)
        return self._bytes

    async def __aexit__(self, *_exc: object) -> None:
        """Stop reading."""
        try:
            await self._bytes.aclose()
        finally:
            self._view.close()
