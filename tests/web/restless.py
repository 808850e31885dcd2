"""A viewer that is cut again and again, and each time goes on where it was."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from supervisor.model import Stream
from supervisor.units import KIB
from tests.web.scene import Said, Write, covering, decoded, output, raw
from tests.web.served import TOKEN
from tests.web.watching import BINARY, Place, Watcher, watch


class Restless:
    """Every third one asks for exact bytes, and many acknowledge what they hear."""

    def __init__(self, path: str, seed: int, *, token: str = TOKEN) -> None:
        """Watches the stream at `path`; what it does there, `seed` decides."""
        self.said: list[Said] = []
        self._path = path
        self._token = token
        self._random = random.Random(seed)
        self._binary = seed % 3 == 0
        self._window = self._random.choice([None, 1000 + seed, 64 * KIB])
        self._cuts_left = self._random.randint(1, 4)
        self._at = self._seq = 0

    @property
    def has_everything(self) -> bool:
        return bool(self.said) and self.said[-1]["type"] == "end"

    async def view(self, site: Place) -> None:
        """Everything, through `end`."""
        while not self.has_everything:
            await self.view_some(site)

    async def view_some(self, site: Place) -> None:
        """All that there is to hear until it is cut, from where it was."""
        # What was told last may have covered no bytes, and comes again if `end` was missed.
        self.said = covering(self.said)
        path = f"{self._path}?from={self._at}&seq={self._seq}"
        if self._window is not None:
            path += f"&window={self._window}"
        offer = (BINARY,) if self._binary else ()
        async with watch(site, path, offer=offer, token=self._token) as watcher:
            await self._listen(watcher)
            await watcher.cut()

    async def _listen(self, watcher: Watcher) -> None:
        """Listen to the end, or to some message before it."""
        left = self._random.randint(0, 5) if self._cuts_left else -1
        self._cuts_left = max(0, self._cuts_left - 1)
        while left and not self.has_everything:
            left -= 1
            new = await watcher.hear()
            self.said += new
            self._at = max([self._at, *(m["next"] for m in output(new))])
            self._seq = max([self._seq, *(m["seq"] for m in new if m["type"] == "status")])
            if output(new):
                await watcher.say({"type": "ack", "offset": self._at})

    def check(self, writes: Sequence[Write]) -> dict[str, Any]:
        """Check that it has every byte once and in order, every status once, and the end.

        Returns the run as `end` shows it.
        """
        offset = 0
        for message in output(self.said):
            assert message["offset"] == offset
            offset = message["next"]
        assert offset == sum(len(data) for _, data in writes) == self.said[-1]["offset"]
        for stream in Stream:
            pieces = [message["data"] for message in output(self.said, stream)]
            if self._binary:
                assert b"".join(pieces) == raw(writes, stream)
            else:
                assert "".join(pieces) == decoded(writes, stream)
        seqs = [message["seq"] for message in self.said if message["type"] == "status"]
        assert seqs == list(range(1, len(seqs) + 1))
        run: dict[str, Any] = self.said[-1]["run"]
        return run
