"""A shell line that goes on when the test says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import trio

from tests.patience import PATIENCE_S


class Gate:
    """`wait` waits for `open`: a named pipe, which lets a line go on once."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path

    @property
    def wait(self) -> str:
        """What the line does to wait."""
        return f"read x < '{self.path}'"

    async def open(self) -> None:
        """Returns once the line, which may still have to come to it, goes on."""
        with trio.fail_after(PATIENCE_S):
            await trio.to_thread.run_sync(self.path.write_text, "go\n", abandon_on_cancel=True)


Gates = Callable[[str], Gate]
"""Makes gates, each by a name of its own."""
