"""The pipes that a run writes to, from our side."""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import trio

from supervisor.errors import LaunchError
from supervisor.executors import Console
from supervisor.model import Stream
from supervisor.processes.holders import name_of
from supervisor.spec import OutputMode


class OutputPipes:
    """A pipe for stdout, another or the same for stderr. Use as a context manager."""

    def __init__(self, mode: OutputMode) -> None:
        """Opens nothing yet."""
        self._streams = tuple(Stream) if mode is OutputMode.SPLIT else (Stream.STDOUT,)
        self.ended = trio.Event()
        """Set once every pipe has reached its end: nobody can write any more."""
        self._readers: dict[Stream, int] = {}
        self._writers: dict[Stream, int] = {}
        self._owned = ExitStack()

    def __enter__(self) -> Self:
        """Make the pipes. Raises LaunchError if there are no descriptors left."""
        with ExitStack() as undo:
            try:
                for stream in self._streams:
                    reader, writer = os.pipe2(os.O_CLOEXEC)
                    self._readers[stream] = _own(undo, reader)
                    self._writers[stream] = writer
                    undo.callback(self._close_writer, stream)
                    os.set_blocking(reader, False)
            except OSError as exc:
                raise LaunchError(f"cannot make its output pipes: {exc.strerror}") from exc
            self._owned = undo.pop_all()
        return self

    def theirs(self) -> tuple[int, int]:
        """The program's descriptors 1 and 2."""
        return self._writers[self._streams[0]], self._writers[self._streams[-1]]

    def files(self) -> frozenset[str]:
        """What /proc calls the pipes."""
        return frozenset(map(name_of, self._readers.values()))

    def close_writers(self) -> None:
        """Close our copies of the writing ends, so that the program's are the only ones."""
        for stream in self._streams:
            self._close_writer(stream)

    async def capture(self, console: Console) -> None:
        """Move all output into the log until it has ended."""
        (stream, reader), *others = self._readers.items()
        async with trio.open_nursery() as nursery:
            for other, its_reader in others:
                nursery.start_soon(console.capture, its_reader, other)
            await console.capture(reader, stream)
        self.ended.set()

    def _close_writer(self, stream: Stream) -> None:
        writer = self._writers.pop(stream, None)
        if writer is not None:
            os.close(writer)

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _exc: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        """Close every descriptor that is still open."""
        self._owned.close()


def _own(stack: ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd
