"""Descriptors 0 to 2 of a run and our ends of them: pipes, or a terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Protocol, Self

import trio

from supervisor.executors import Console, Input, Screen
from supervisor.executors.input import InputPipe
from supervisor.executors.output import OutputPipes
from supervisor.executors.terminal import Terminal
from supervisor.spec import OutputMode, RunSpec


class Stdio(Protocol):
    """What a run reads from and writes to, from our side."""

    ended: trio.Event
    """Set once its output has ended: nobody can write any more."""

    output_files: frozenset[str]
    """What /proc calls the files that it writes to."""

    @property
    def input(self) -> Input | None:
        """Where it can be sent input, if it takes any."""

    @property
    def screen(self) -> Screen | None:
        """Its terminal, if it has one."""

    def theirs(self) -> tuple[int, int, int]:
        """The program's descriptors."""

    def launched(self) -> None:
        """The program has them now."""

    def program_exited(self) -> None:
        """The program has ended; what it has started may go on."""

    async def capture(self, console: Console) -> None:
        """Move all output into the log until it has ended."""


def open_stdio(spec: RunSpec) -> AbstractContextManager[Stdio]:
    """What a run of `spec` gets. Entering raises LaunchError if it cannot be made."""
    return Terminal(spec.terminal) if spec.output is OutputMode.PTY else Pipes(spec)


class Pipes:
    """One or two pipes to write to, and something to read. Use as a context manager."""

    screen = None

    def __init__(self, spec: RunSpec) -> None:
        """Opens nothing yet."""
        self._output = OutputPipes(spec.output)
        self._input = InputPipe(spec.stdin)
        self._owned = ExitStack()
        self.output_files = frozenset[str]()
        self.ended = self._output.ended
        self.capture = self._output.capture

    def __enter__(self) -> Self:
        """Open them. Raises LaunchError."""
        with ExitStack() as undo:
            undo.enter_context(self._output)
            undo.enter_context(self._input)
            self.output_files = self._output.files()
            self._owned = undo.pop_all()
        return self

    @property
    def input(self) -> Input | None:
        """See Stdio."""
        return self._input.sender

    def theirs(self) -> tuple[int, int, int]:
        """See Stdio."""
        return self._input.theirs, *self._output.theirs()

    def launched(self) -> None:
        """Close our copies, so that the program's are the only ones."""
        self._output.close_writers()
        self._input.close_theirs()

    def program_exited(self) -> None:
        """See Stdio."""

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _exc: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        """Close every descriptor that is still open."""
        self._owned.close()
