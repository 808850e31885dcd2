"""What may start now: one synchronous, pure decision, taken anew after every change.

`admit` looks at who waits and who occupies a slot and returns who is to be started; its caller
does the starting. Every rule about starting is a case of this one decision, so there are no
locks, no wake-up queue and no order of callbacks to get wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct


class Ticket(Struct, frozen=True):
    """A run as the queue sees it.

    `concurrency` is how many runs of `job` may be active at once, None for no bound of its own.
    """

    run_id: str
    seq: int
    priority: int
    job: str | None
    concurrency: int | None

    def order(self) -> tuple[int, int]:
        """Sort key: higher priority first, then first come first served."""
        return (-self.priority, self.seq)


class Limits(Struct, frozen=True):
    """How many runs may be active at once, all jobs together."""

    max_running: int


def admit(waiting: Sequence[Ticket], active: Iterable[Ticket], limits: Limits) -> list[Ticket]:
    """The tickets to start now, in the order to start them.

    `waiting` must be sorted by `Ticket.order`; `active` are those that hold a slot. A run held
    back by its job's `concurrency` lets later ones pass; the bound on all runs does not.
    """
    holders = list(active)
    free = limits.max_running - len(holders)
    if free <= 0:
        return []
    of_job = Counter(ticket.job for ticket in holders if ticket.job is not None)
    start: list[Ticket] = []
    for ticket in waiting:
        if len(start) == free:
            break
        if ticket.job is not None:
            if ticket.concurrency is not None and of_job[ticket.job] >= ticket.concurrency:
                continue
            of_job[ticket.job] += 1
        start.append(ticket)
    return start
