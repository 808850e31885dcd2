"""What is on record of a run."""

from __future__ import annotations

from supervisor.testing import (
    Rig,
)


async def kinds(rig: Rig, run_id: str) -> list[str]:
    """The types of the run's events, as recorded."""
    return [type(view.entry.event).__name__ for view in await rig.supervisor.events(run_id)]
