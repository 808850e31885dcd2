"""Searches of logs beside everything else: in worker threads, a slice at a time, so many at once.

Reading and finding let the event loop run; the Python between them does not. So a slice is short,
and a thread that worked for a while rests, so that the event loop gets its turn.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator

import trio

from supervisor.errors import TooManySearches
from supervisor.log.hits import Finding
from supervisor.log.search import LogSearch

AT_ONCE = 2
MAX_OPEN = 16

_SLICE_S = 0.02
_SLICE_HITS = 16
_HELD_S = 0.001
_REST = 2.0
"""Sleep for so many times as long as the interpreter was held."""


class Searches:
    """All searches of this process: AT_ONCE of them work, up to MAX_OPEN take turns."""

    def __init__(self) -> None:
        """None yet."""
        self._turns = trio.CapacityLimiter(AT_ONCE)
        self.open = 0
        """How many have begun and not ended."""

    def check_room(self) -> None:
        """Raise TooManySearches if no other search can begin now."""
        if self.open >= MAX_OPEN:
            raise TooManySearches(f"{self.open} searches are under way; try again in a moment")

    async def run(self, search: LogSearch) -> AsyncGenerator[list[Finding], None]:
        """What `search` finds, as it finds it; close this to stop it. Raises as the search does."""
        self.open += 1
        try:
            items = search.findings()
            rest = Rest(search)
            done = False
            while not done:
                found, done = await trio.to_thread.run_sync(
                    _slice, items, rest, limiter=self._turns
                )
                if found:
                    yield found
        finally:
            self.open -= 1


class Rest:
    """Keeps a thread from holding the interpreter most of the time, which the event loop needs."""

    def __init__(self, search: LogSearch) -> None:
        """For the thread that works on `search`, whichever that is for now."""
        self._search = search
        self._cpu_s = self._apart_s = 0.0

    def begin(self) -> None:
        """From now on this thread works."""
        self._cpu_s, self._apart_s = time.thread_time(), self._search.apart_s

    def take(self) -> None:
        """Sleep, if the interpreter was held for long enough."""
        apart_s = self._search.apart_s - self._apart_s
        held_s = time.thread_time() - self._cpu_s - apart_s
        if held_s > _HELD_S:
            time.sleep(_REST * held_s)
            self.begin()


def _slice(items: Iterator[Finding | None], rest: Rest) -> tuple[list[Finding], bool]:
    """Search on for a moment: what was found, and whether that was all."""
    found: list[Finding] = []
    end = time.monotonic() + _SLICE_S
    rest.begin()
    for item in items:
        if item is not None:
            found.append(item)
        rest.take()
        if time.monotonic() >= end or len(found) >= _SLICE_HITS:
            return found, False
    return found, True
