"""Does something between any two calls of the file system: where threads and processes meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from supervisor.log import blocks

_NAMES = ("pread", "pwrite", "splice", "ftruncate")


class Killed(BaseException):
    """The writer is no more."""


class Calls:
    """Counts the moments before and after each call, and does what is due at one of them."""

    def __init__(self) -> None:
        self._due: list[tuple[int, Callable[[], None]]] = []
        self._moment = 0
        self._kill: tuple[int, int] | None = None
        self._busy = False
        self.writing = False
        """Whether the log's writer is at work, and so can be killed."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within this, calls count."""
        calls: dict[str, Any] = {name: self._watched(name, getattr(os, name)) for name in _NAMES}
        calls["fdatasync"] = self._watched("fdatasync", _none)
        punch = self._watched("fallocate", blocks.make_hole)
        with mock.patch.multiple(os, **calls), mock.patch.object(blocks, "make_hole", punch):
            yield

    def later(self, moments: int, what: Callable[[], None]) -> None:
        """Do `what` after so many moments, once."""
        self._due.append((self._moment + moments, what))

    def kill(self, moments: int, written: int) -> None:
        """Kill the writer in so many moments from now on; of a write, so many bytes get through."""
        self._kill = (self._moment + moments, written)

    def forget(self) -> None:
        """Nothing is due any more."""
        self._due, self._kill = [], None

    @property
    def nested(self) -> bool:
        """Whether this is in the middle of something else."""
        return self._busy

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within this, no call counts."""
        busy, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = busy

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if self._busy:
                return real(*arguments, **more)
            self._pass()
            if self._killed():
                self._tear(real, name, arguments)
                raise Killed
            result = real(*arguments, **more)
            self._pass()
            return result

        return call

    def _pass(self) -> None:
        """One moment."""
        self._moment += 1
        due = [what for when, what in self._due if when <= self._moment]
        self._due = [each for each in self._due if each[0] > self._moment]
        with self.aside():
            for what in due:
                what()

    def _killed(self) -> bool:
        return self.writing and self._kill is not None and self._kill[0] <= self._moment

    def _tear(self, real: Callable[..., Any], name: str, arguments: tuple[Any, ...]) -> None:
        assert self._kill is not None
        written, self._kill = self._kill[1], None
        if name == "pwrite":
            fd, data, offset = arguments
            real(fd, data[:written], offset)


def _none(_fd: int) -> None:
    """Instead of what only takes time, as long as there is no power cut."""
