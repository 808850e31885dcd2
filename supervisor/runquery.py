"""Asking for runs: which of them, and a page of what there is. Pure."""

from __future__ import annotations

from msgspec import Struct

from supervisor.model import Run, Status
from supervisor.reach import EVERYTHING, Reach


class RunQuery(Struct, frozen=True, kw_only=True):
    """Which runs to list; all conditions that are given hold together.

    `status` is any of those named, `text` stands in the run's id, job or command whatever its
    case, `limit` is 1 to 1000, and `before` is a `seq`, itself not included. Only runs within
    `reach` are listed.
    """

    status: tuple[Status, ...] = ()
    job: str | None = None
    tag: str | None = None
    text: str | None = None
    limit: int = 50
    before: int | None = None
    reach: Reach = EVERYTHING


class RunPage(Struct, frozen=True):
    """Runs, newest first. `before` is where the next page starts, None on the last page."""

    runs: tuple[Run, ...]
    before: int | None
