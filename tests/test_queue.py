"""What may start now: order, bounds, and that nothing waits without a reason."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from supervisor.queue import Limits, Ticket, admit

seqs = itertools.count(1)


def ticket(
    name: str = "", *, priority: int = 0, job: str | None = None, slots: int | None = None
) -> Ticket:
    seq = next(seqs)
    return Ticket(name or f"r{seq}", seq, priority, job, slots)


def names(tickets: list[Ticket]) -> list[str]:
    return [each.run_id for each in tickets]


def in_order(*tickets: Ticket) -> list[Ticket]:
    return sorted(tickets, key=Ticket.order)


tickets = st.builds(
    ticket,
    priority=st.integers(-2, 2),
    job=st.sampled_from((None, "a", "b", "c")),
    slots=st.none() | st.integers(1, 3),
)
waiting_lists = st.lists(tickets, max_size=20).map(lambda found: in_order(*found))
limits = st.integers(0, 8).map(Limits)


def held_back(held: Ticket, holders: list[Ticket]) -> bool:
    """True if its job has as many of `holders` as it may."""
    if held.job is None or held.concurrency is None:
        return False
    return sum(each.job == held.job for each in holders) >= held.concurrency


def test_first_come_first_served() -> None:
    a, b, c = ticket("a"), ticket("b"), ticket("c")
    assert names(admit(in_order(c, a, b), [], Limits(2))) == ["a", "b"]


def test_higher_priority_goes_first() -> None:
    low, high, negative = ticket("low"), ticket("high", priority=5), ticket("neg", priority=-1)
    assert names(admit(in_order(negative, low, high), [], Limits(3))) == ["high", "low", "neg"]


def test_it_displaces_nobody() -> None:
    """Priority decides who starts next, not who has to stop."""
    assert admit([ticket(priority=100)], [ticket()], Limits(1)) == []


def test_a_job_at_its_bound_lets_others_pass() -> None:
    running = ticket(job="import", slots=1)
    held, other = ticket("held", job="import", slots=1), ticket("other", job="report")
    assert names(admit([held, other], [running], Limits(10))) == ["other"]


def test_its_bound_counts_those_that_start_together() -> None:
    same = [ticket(f"r{n}", job="import", slots=2) for n in range(5)]
    assert names(admit(same, [], Limits(10))) == ["r0", "r1"]


def test_ad_hoc_runs_have_no_bound_of_their_own() -> None:
    assert len(admit([ticket(slots=1) for _ in range(5)], [], Limits(10))) == 5


def test_more_active_than_allowed_starts_nothing() -> None:
    """As after a restart with a smaller `max_running`."""
    assert admit([ticket()], [ticket() for _ in range(5)], Limits(3)) == []


@given(waiting_lists, st.lists(tickets, max_size=8), limits)
def test_it_starts_some_of_those_who_wait_in_their_order(
    waiting: list[Ticket], active: list[Ticket], bounds: Limits
) -> None:
    chosen = set(names(admit(waiting, active, bounds)))
    assert admit(waiting, active, bounds) == [each for each in waiting if each.run_id in chosen]


@given(waiting_lists, st.lists(tickets, max_size=8), limits)
def test_no_bound_is_ever_exceeded(
    waiting: list[Ticket], active: list[Ticket], bounds: Limits
) -> None:
    started = admit(waiting, active, bounds)
    assert not started or len(active) + len(started) <= bounds.max_running
    for place, each in enumerate(started):
        assert not held_back(each, [*active, *started[:place]])


@given(waiting_lists, st.lists(tickets, max_size=8), limits)
def test_no_slot_stays_free_while_someone_could_use_it(
    waiting: list[Ticket], active: list[Ticket], bounds: Limits
) -> None:
    started = admit(waiting, active, bounds)
    holders = [*active, *started]
    if len(holders) < bounds.max_running:
        assert all(held_back(each, holders) for each in waiting if each not in started)


@given(waiting_lists, st.lists(tickets, max_size=8), limits)
def test_only_a_job_at_its_bound_is_passed_over(
    waiting: list[Ticket], active: list[Ticket], bounds: Limits
) -> None:
    started = admit(waiting, active, bounds)
    if started:
        ahead = waiting[: waiting.index(started[-1])]
        assert all(held_back(each, [*active, *started]) for each in ahead if each not in started)


@given(waiting_lists, st.integers(1, 4).map(Limits), st.randoms(use_true_random=False))
def test_everyone_starts_in_the_end(
    waiting: list[Ticket], bounds: Limits, chance: random.Random
) -> None:
    """Whoever ends first: all run, each once, and runs alike start in the order they came."""
    active: list[Ticket] = []
    order: list[Ticket] = []
    left = list(waiting)
    while left or active:
        started = admit(left, active, bounds)
        order += started
        active += started
        left = [each for each in left if each not in started]
        assert active
        active.remove(chance.choice(active))
    assert sorted(names(order)) == sorted(names(waiting))
    for one, other in itertools.combinations(order, 2):
        alike = (one.job, one.priority, one.concurrency) == (
            other.job,
            other.priority,
            other.concurrency,
        )
        assert not alike or one.seq < other.seq
