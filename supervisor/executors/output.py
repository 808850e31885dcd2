"""The pipes that a run writes to, from our side."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

import trio

from supervisor.errors import LaunchError
from supervisor.executors import Console
from supervisor.model import Stream
from supervisor.processes.holders import name_of
from supervisor.spec import OutputMode


def streams_of(mode: OutputMode) -> tuple[Stream, ...]:
    """Those that have a pipe of their own."""
    return tuple(Stream) if mode is OutputMode.SPLIT else (Stream.STDOUT,)


class OutputPipes:
    """A pipe for stdout, another or the same for stderr. Use as a context manager."""

    def __init__(self, mode: OutputMode, kept: Mapping[str, int] | None = None) -> None:
        """Opens nothing yet. `kept` are our ends by stream, if the pipes are already there."""
        self._streams = streams_of(mode)
        self.ended = trio.Event()
        """Set once every pipe has reached its end: nobody can write any more."""
        self._made_before = kept
        self._readers: dict[Stream, int] = {}
        self._writers: dict[Stream, int] = {}
        self._owned = ExitStack()

    def __enter__(self) -> Self:
        """Make the pipes. Raises LaunchError if there are no descriptors left."""
        with ExitStack() as undo:
            try:
                for stream in self._streams:
                    self._readers[stream] = _own(undo, self._open(undo, stream))
                    os.set_blocking(self._readers[stream], False)
            except OSError as exc:
                raise LaunchError(f"cannot make its output pipes: {exc.strerror}") from exc
            self._owned = undo.pop_all()
        return self

    def _open(self, undo: ExitStack, stream: Stream) -> int:
        if self._made_before is not None:
            return self._made_before[stream.label]
        reader, self._writers[stream] = os.pipe2(os.O_CLOEXEC)
        undo.callback(self._close_writer, stream)
        return reader

    def kept(self) -> dict[str, int]:
        """Our ends, by stream."""
        return {stream.label: reader for stream, reader in self._readers.items()}

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

    def capture_now(self, console: Console) -> None:
        """Move what the pipes hold now into the log: nobody will wait for more."""
        at_end = [console.capture_now(fd, stream) for stream, fd in self._readers.items()]
        if all(at_end):
            self.ended.set()

    def _close_writer(self, stream: Stream) -> None:
        writer = self._writers.pop(stream, None)
        if writer is not None:
            os.close(writer)

    def __exit__(self, *_exc: object) -> None:
        """Close every descriptor that is still open."""
        self._owned.close()


def _own(stack: ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd
