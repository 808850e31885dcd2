"""A journal that cannot be written for a while, in a server without a disk of its own."""

from __future__ import annotations

import trio

from supervisor.errors import StorageUnavailable
from supervisor.testing.rig import Rig


class Disk:
    """Lets the journal's writes fail as long as it is `full`."""

    def __init__(self, rig: Rig) -> None:
        self.full = False
        self.refused = 0
        writer = rig.journal._writer
        write = writer.write

        async def refuse(work: object, *, may_abandon: bool = False) -> object:
            if self.full:
                self.refused += 1
                await trio.lowlevel.checkpoint()
                raise StorageUnavailable("the journal cannot be written: disk full")
            return await write(work, may_abandon=may_abandon)  # type: ignore[arg-type]

        writer.write = refuse  # type: ignore[method-assign,assignment]
