"""Descriptors 0 to 2 of a run and our ends of them: pipes, or a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol, Self

import trio

from supervisor.executors import Console, Screen
from supervisor.executors.input import InputPipe, InputSender
from supervisor.executors.output import OutputPipes, streams_of
from supervisor.executors.terminal import TERMINAL, Terminal
from supervisor.spec import OutputMode, RunSpec

STDIN = "stdin"
"""The role of our end of what a run reads."""


class Stdio(Protocol):
    """What a run reads from and writes to, from our side."""

    ended: trio.Event
    """Set once its output has ended: nobody can write any more."""

    output_files: frozenset[str]
    """What /proc calls the files that it writes to."""

    @property
    def input(self) -> InputSender | None:
        """Where it can be sent input, if it takes any."""

    @property
    def screen(self) -> Screen | None:
        """Its terminal, if it has one."""

    def theirs(self) -> tuple[int, int, int]:
        """The program's descriptors."""

    def kept(self) -> dict[str, int]:
        """Our ends, which have to be kept for a server that comes after this one, by role."""

    def launched(self) -> None:
        """The program has them now."""

    def program_exited(self) -> None:
        """The program has ended; what it has started may go on."""

    async def capture(self, console: Console) -> None:
        """Move all output into the log until it has ended."""

    def capture_now(self, console: Console) -> None:
        """Move what there is now into the log: nobody will wait for more."""


def open_stdio(spec: RunSpec) -> AbstractContextManager[Stdio]:
    """What a run of `spec` gets. Entering raises LaunchError if it cannot be made."""
    return Terminal(spec.terminal) if spec.output is OutputMode.PTY else Pipes(spec)


def needed_roles(spec: RunSpec) -> set[str]:
    """The roles of what has to be there to take over a run of `spec`."""
    if spec.output is OutputMode.PTY:
        return {TERMINAL}
    return {stream.label for stream in streams_of(spec.output)}


def take_over_stdio(spec: RunSpec, kept: Mapping[str, int]) -> AbstractContextManager[Stdio]:
    """The same, of a run that an earlier server has launched and of which it `kept` this.

    All `needed_roles` have to be there. Who enters it takes over the descriptors.
    """
    if spec.output is OutputMode.PTY:
        return Terminal(spec.terminal, kept[TERMINAL])
    return Pipes(spec, kept)


class Pipes:
    """One or two pipes to write to, and something to read. Use as a context manager."""

    screen = None

    def __init__(self, spec: RunSpec, kept: Mapping[str, int] | None = None) -> None:
        """Opens nothing yet. `kept` are our ends by role, if the pipes are already there."""
        self._output = OutputPipes(spec.output, kept)
        self._input = InputPipe(spec.stdin, None if kept is None else kept.get(STDIN, -1))
        self._owned = ExitStack()
        self.output_files = frozenset[str]()
        self.ended = self._output.ended
        self.capture = self._output.capture
        self.capture_now = self._output.capture_now

    def __enter__(self) -> Self:
        """Open them. Raises LaunchError."""
        with ExitStack() as undo:
            undo.enter_context(self._output)
            undo.enter_context(self._input)
            self.output_files = self._output.files()
            self._owned = undo.pop_all()
        return self

    @property
    def input(self) -> InputSender | None:
        """See Stdio."""
        return self._input.sender

    def theirs(self) -> tuple[int, int, int]:
        """See Stdio."""
        return self._input.theirs, *self._output.theirs()

    def kept(self) -> dict[str, int]:
        """See Stdio."""
        sender = self._input.sender
        return self._output.kept() | ({} if sender is None else {STDIN: sender.fd})

    def launched(self) -> None:
        """Close our copies, so that the program's are the only ones."""
        self._output.close_writers()
        self._input.close_theirs()

    def program_exited(self) -> None:
        """See Stdio."""

    def __exit__(self, *_exc: object) -> None:
        """Close every descriptor that is still open."""
        self._owned.close()
