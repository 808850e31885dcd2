"""A terminal for a run: pty(7). What it puts out is captured, and what is typed goes in.

It is a terminal like any other: it echoes what is typed, ends lines with CR LF, makes signals of
some keys, until the program on it sets it otherwise.
"""

from __future__ import annotations

import fcntl
import os
import termios
from contextlib import ExitStack
from typing import Self

import trio

from supervisor.errors import LaunchError
from supervisor.executors import Console
from supervisor.executors.input import InputSender
from supervisor.model import Stream
from supervisor.processes.holders import name_of
from supervisor.spec import TerminalSize

_INPUT_FLAGS, _CONTROL_CHARACTERS = 0, 6
"""Places in what tcgetattr gives."""
_TIOCGPTPEER = 0x5441
TERMINAL = "terminal"
"""The role of our end, where it is kept for a server that comes after this one."""
_IUTF8 = 0o40000
"""termios(3); so that erasing takes whole characters. The standard library has no name for it."""


class Terminal:
    """One run's. Use as a context manager."""

    def __init__(self, size: TerminalSize, kept: int | None = None) -> None:
        """Opens nothing yet. `kept` is our end, if it is already there."""
        self.ended = trio.Event()
        """Set once nobody has the terminal open any more."""
        self.input: InputSender | None = None
        self.output_files = frozenset[str]()
        self._size = size
        self._kept = kept
        self._ours = self._theirs = -1
        self._owned = ExitStack()

    def __enter__(self) -> Self:
        """Make it. Raises LaunchError if there are no descriptors or terminals left."""
        with ExitStack() as undo:
            try:
                made = self._kept is None
                self._ours, self._theirs = os.openpty() if self._kept is None else (self._kept, -1)
                undo.callback(os.close, self._ours)
                undo.callback(self._close_theirs)
                if made:
                    _speak_utf8(self._theirs)
                    self.resize(self._size)
                else:
                    self._theirs = _other_end(self._ours)
                self.output_files = frozenset({name_of(self._theirs)})
                os.set_blocking(self._ours, False)
                sender = self.input = _Keys(os.dup(self._ours))
                undo.callback(sender.close)
            except OSError as exc:
                raise LaunchError(f"cannot make its terminal: {exc.strerror}") from exc
            self._owned = undo.pop_all()
        return self

    @property
    def screen(self) -> Terminal:
        """Itself: it can be resized."""
        return self

    def theirs(self) -> tuple[int, int, int]:
        """The program's descriptors 0 to 2: the terminal, three times."""
        return (self._theirs,) * 3

    def kept(self) -> dict[str, int]:
        """See Stdio."""
        return {TERMINAL: self._ours}

    def launched(self) -> None:
        """Keep the terminal open: programs may close theirs and open it again by its name."""

    def program_exited(self) -> None:
        """Whoever has it open now is all there is."""
        self._close_theirs()

    def resize(self, size: TerminalSize) -> None:
        """Set its size; the program is told by SIGWINCH if that is another one."""
        termios.tcsetwinsize(self._ours, (size.rows, size.columns))

    async def capture(self, console: Console) -> None:
        """Move all output into the log until nobody has the terminal open any more."""
        await console.capture(self._ours, Stream.STDOUT)
        self.ended.set()

    def capture_now(self, console: Console) -> None:
        """See Stdio."""
        if console.capture_now(self._ours, Stream.STDOUT):
            self.ended.set()

    def _close_theirs(self) -> None:
        if self._theirs >= 0:
            os.close(self._theirs)
            self._theirs = -1

    def __exit__(self, *_exc: object) -> None:
        """Close it: whoever is left on it gets SIGHUP."""
        self._owned.close()


class _Keys(InputSender):
    """What is typed into a terminal."""

    def ending(self) -> bytes:
        """The key that ends the input of a program that reads lines (VEOF, usually Ctrl-D)."""
        key = termios.tcgetattr(self.fd)[_CONTROL_CHARACTERS][termios.VEOF]
        return key if isinstance(key, bytes) else bytes([key])

    def ended(self) -> None:
        """A terminal stays open: what is typed next is read by whoever reads next."""


def _other_end(ours: int) -> int:
    """A descriptor of the program's end, wherever it is mounted: ioctl_tty(2)."""
    return fcntl.ioctl(ours, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def _speak_utf8(fd: int) -> None:
    attributes = termios.tcgetattr(fd)
    attributes[_INPUT_FLAGS] |= _IUTF8
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
