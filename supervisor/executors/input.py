"""What a run reads: nothing, a text, or what is sent to it, taken as fast as it reads and no faster."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

import trio

from supervisor.errors import InputClosed, LaunchError
from supervisor.spec import Stdin, StdinMode, StdinSource
from supervisor.wire import InputTaken


class InputPipe:
    """Descriptor 0 of a run, and our end of it if there is one. Use as a context manager."""

    def __init__(self, stdin: Stdin, kept: int | None = None) -> None:
        """Opens nothing yet. `kept` is our end, if it is already there; -1 if it was closed."""
        self.sender: InputSender | None = None
        """Our end, of a run that can be sent input."""
        self._stdin = stdin
        self._kept = kept
        self._theirs = -1

    def __enter__(self) -> Self:
        """Open it. Raises LaunchError if that cannot be."""
        if self._kept is not None:
            self.sender = InputSender(self._kept) if self._stdin is StdinMode.OPEN else None
            return self
        try:
            if self._stdin is StdinMode.OPEN:
                self._theirs, ours = os.pipe2(os.O_CLOEXEC)
                self.sender = InputSender(ours)
            elif isinstance(self._stdin, StdinSource) and self._stdin.text is not None:
                self._theirs = _readable(self._stdin.text.encode())
            else:
                # What is in a file, its own process opens, with its own rights.
                self._theirs = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            raise LaunchError(f"cannot make its input: {exc.strerror}") from exc
        return self

    @property
    def theirs(self) -> int:
        """The program's descriptor 0."""
        return self._theirs

    def close_theirs(self) -> None:
        """Close our copy of the program's end, so that its own is the only one."""
        if self._theirs >= 0:
            os.close(self._theirs)
            self._theirs = -1

    def __exit__(self, *_exc: object) -> None:
        """Close what is still open."""
        self.close_theirs()
        if self.sender is not None:
            self.sender.close()


class InputSender:
    """Our end of what a run reads. Nothing is kept here: what it does not take waits with its sender."""

    def __init__(self, fd: int) -> None:
        """Takes `fd` over; -1 if it was closed before."""
        self.fd = fd
        """Our end; -1 once it is closed."""
        self.on_ended: Callable[[], None] | None = None
        """Called once nothing more will be handed over: no copy may keep the program waiting."""
        self._turn = trio.Lock()
        if fd >= 0:
            os.set_blocking(fd, False)

    async def send(
        self, data: bytes, *, end: bool = False, patience_s: float = math.inf
    ) -> InputTaken:
        """Hand over `data`, after all that was sent before, and with `end` nothing after it.

        Tells how many bytes were taken in time: they are held by the system for the program, which
        need not have read them. Raises InputClosed if the program has closed it, or somebody here.
        """
        taken, ended = 0, False
        keys = data + self.ending() if end else data
        with trio.move_on_after(patience_s), memoryview(keys) as view:
            async with self._turn:
                while taken < len(view):
                    try:
                        taken += self._write(view[taken:])
                    except BlockingIOError:
                        await self._wait_room(taken)
                    except OSError as exc:  # EPIPE; of a terminal, EIO
                        raise InputClosed(f"nobody reads it: {exc.strerror}", taken=taken) from exc
                if end:
                    self.ended()
                    ended = True
        return InputTaken(min(taken, len(data)), ended)

    def ending(self) -> bytes:
        """What tells the program that its input ends, behind all the rest."""
        return b""

    def ended(self) -> None:
        """All was handed over that there will be."""
        self.close()
        if self.on_ended is not None:
            self.on_ended()

    def close(self) -> None:
        """Close it now. Those who wait get InputClosed."""
        if self.fd >= 0:
            trio.lowlevel.notify_closing(self.fd)
            os.close(self.fd)
            self.fd = -1

    def _write(self, view: memoryview) -> int:
        if self.fd < 0:
            raise InputClosed("its input was closed")
        return os.write(self.fd, view)

    async def _wait_room(self, taken: int) -> None:
        try:
            await trio.lowlevel.wait_writable(self.fd)
        except trio.ClosedResourceError:
            raise InputClosed("its input was closed", taken=taken) from None


def _readable(data: bytes) -> int:
    """A descriptor to read `data` from: memfd_create(2), so that nobody has to feed it."""
    with ExitStack() as stack:
        memory = os.memfd_create("stdin")
        stack.callback(os.close, memory)
        os.write(memory, data)
        return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
