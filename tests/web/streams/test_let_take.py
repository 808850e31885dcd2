"""Who is still being sent the end of a log is not cut off, and who takes nothing is let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from web.streams.conversation import END_WAIT_S, let_take
from web.streams.line import Line


class Scripted:
    """A line that tells at each look how much is untaken."""

    def __init__(self, untaken: Sequence[int]) -> None:
        self._untaken: Iterator[int] = iter(untaken)

    @property
    def untaken(self) -> int:
        return next(self._untaken)


@pytest.mark.parametrize(
    ("untaken", "waits"),
    [
        ([0, 0], 1),
        ([9, 9], 1),
        ([9, 4, 4], 2),
        ([9, 4, 1, 0, 0], 4),
        ([9, 12], 1),
    ],
)
async def test_it_is_waited_for_as_long_as_more_is_taken(
    untaken: Sequence[int], waits: int, autojump_clock: MockClock
) -> None:
    await let_take(cast(Line, Scripted(untaken)))
    assert trio.current_time() == pytest.approx(waits * END_WAIT_S)
