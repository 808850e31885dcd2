"""How much may be on its way to a viewer that acknowledges. Pure."""

from __future__ import annotations

from collections import deque

_MAX_ENTRIES = 1024


class Window:
    """Counts what was sent and not acknowledged, in bytes of output.

    What a stream filter leaves out is not sent and counts for nothing.
    """

    def __init__(self, size: int | None) -> None:
        """`size` in bytes; None for no bound."""
        self._size = size
        self._sent: deque[tuple[int, int]] = deque()
        self._unacknowledged = 0

    @property
    def room(self) -> int | None:
        """How many bytes may be sent now; None for no bound."""
        return None if self._size is None else self._size - self._unacknowledged

    def sent(self, until: int, count: int) -> None:
        """`count` bytes were sent; whoever has dealt with them acknowledges offset `until`."""
        if self._size is None:
            return
        if len(self._sent) == _MAX_ENTRIES:
            # However small the pieces, what is remembered of them is bounded: the last ones then
            # count as one, which is free again when its end is acknowledged.
            _, before = self._sent.pop()
            self._sent.append((until, before + count))
        else:
            self._sent.append((until, count))
        self._unacknowledged += count

    def acknowledge(self, offset: int) -> None:
        """Everything before `offset` has been dealt with; what is sent later has not."""
        while self._sent and self._sent[0][0] <= offset:
            self._unacknowledged -= self._sent.popleft()[1]

    def reset(self) -> None:
        """Forget what was sent: the viewer went elsewhere."""
        self._sent.clear()
        self._unacknowledged = 0
