"""The life of a run: what may follow what, what each event leaves, how an end is judged."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import IllegalTransition
from supervisor.lifecycle import TRANSITIONS, advance, begin, judge
from supervisor.model import (
    SYSTEM,
    Actor,
    Cancelled,
    Deadline,
    DeadlineKind,
    Dispatched,
    Entry,
    Event,
    Failed,
    Moment,
    Paused,
    PauseMeans,
    ProcessRef,
    ProgramExited,
    Reason,
    Requeued,
    Resumed,
    Run,
    Signalled,
    Started,
    Status,
    StopRequest,
    StopRequested,
    StopStep,
    Submitted,
    Succeeded,
)
from supervisor.outcome import (
    Crashed,
    Exited,
    Lost,
    NotStarted,
    Outcome,
    OutOfMemory,
    StopCause,
    Usage,
)
from supervisor.spec import RunSpec, StopPolicy

ANNA = Actor("user", "anna")
BERT = Actor("token", "bert")
PROCESS = ProcessRef(pid=4711, start_ticks=99, boot_id="boot")
SPEC = RunSpec(argv=("true",), cwd="/")
ENDED = {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}
KINDS: tuple[type[Event], ...] = get_args(Event)


def at(seconds: float) -> Moment:
    wall = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=seconds)
    return Moment(wall, int(seconds * 1e9), "boot")


def entry(event: Event, seconds: float = 0, by: Actor = SYSTEM) -> Entry:
    return Entry("r", at(seconds), by, event)


def queued() -> Run:
    return begin(entry(Submitted(SPEC), by=ANNA), seq=7)


def after(*events: Event) -> Run:
    """A run, a second after each of the events."""
    run = queued()
    for seconds, event in enumerate(events, 1):
        run = advance(run, entry(event, seconds))
    return run


def stop(cause: StopCause = StopCause.CANCEL, by: Actor = ANNA, *, force: bool = False) -> Event:
    return StopRequested(StopRequest(cause, StopPolicy(), by, force))


def sent(
    signal: str,
    pids: tuple[int, ...] = (),
    *,
    stopping: bool = True,
    deadlines: tuple[Deadline, ...] = (),
) -> Event:
    return Signalled(StopStep(at(0).wall, signal, "group 4711", pids), stopping, deadlines)


outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(
        Exited,
        exit_code=st.none() | st.integers(0, 255),
        signal=st.sampled_from((None, "KILL", "TERM")),
        stopped=st.none() | st.sampled_from(StopCause),
        output_complete=st.booleans(),
        killed=st.just((1, 2)),
        usage=st.none() | st.just(Usage(1.0, 2.0)),
        out_of_memory=st.none() | st.sampled_from(OutOfMemory),
    ),
    st.builds(
        NotStarted, message=st.just("no such file"), stopped=st.none() | st.sampled_from(StopCause)
    ),
    st.just(Lost(message="nobody saw it", killed=(3,))),
    st.just(Crashed(message="KeyError: 'x'")),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.just(Submitted(SPEC)),
    st.just(Dispatched("local")),
    st.just(Requeued("never started")),
    st.just(Started(PROCESS, (Deadline(DeadlineKind.TIMEOUT, at(60)),))),
    st.builds(stop, st.sampled_from(StopCause), force=st.booleans()),
    st.builds(sent, st.sampled_from(("INT", "TERM", "KILL", "HUP")), stopping=st.booleans()),
    st.just(Paused(PauseMeans.FREEZER)),
    st.just(Resumed()),
    st.just(ProgramExited(0, None)),
    st.builds(Succeeded, outcome=outcomes),
    st.builds(Failed, reason=st.sampled_from(Reason), message=st.just(""), outcome=outcomes),
    st.builds(Cancelled, message=st.just(""), outcome=st.none() | outcomes),
    st.builds(judge, outcomes),
)


def test_the_five_statuses_are_five() -> None:
    assert [str(status) for status in Status] == [
        "queued",
        "running",
        "succeeded",
        "failed",
        "cancelled",
    ]
    assert set(TRANSITIONS) == set(Status)


def test_every_event_but_the_first_has_its_place_in_the_table() -> None:
    placed = {kind for moves in TRANSITIONS.values() for kind in moves}
    assert placed == set(KINDS) - {Submitted}


def test_nothing_follows_an_end() -> None:
    assert {status for status, moves in TRANSITIONS.items() if not moves} == ENDED
    assert {status for status in Status if status.ended} == ENDED


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Submitted])
def test_only_submitted_begins_a_run(kind: type[Event]) -> None:
    @given(st.from_type(kind))
    def check(event: Event) -> None:
        with pytest.raises(IllegalTransition):
            begin(entry(event), seq=1)

    check()


@given(st.lists(events, max_size=12))
def test_any_order_of_events_is_legal_or_refused(order: list[Event]) -> None:
    """What the table has is applied, what it has not is refused and changes nothing."""
    run = queued()
    for seconds, event in enumerate(order):
        before = msgspec.json.encode(run)
        wanted = TRANSITIONS[run.status].get(type(event))
        if wanted is None:
            with pytest.raises(IllegalTransition) as refusal:
                advance(run, entry(event, seconds))
            assert run.status in refusal.value.message
        else:
            following = advance(run, entry(event, seconds))
            assert following.status is wanted
            assert msgspec.json.encode(run) == before
            run = following
        assert _what_never_changes(run) == _what_never_changes(queued())


def _what_never_changes(run: Run) -> tuple[object, ...]:
    return (run.id, run.seq, run.spec, run.created_at, run.created_by, run.attempt, run.retry_of)


@given(st.lists(events, max_size=12), st.lists(events, max_size=12))
def test_ended_is_ended(life: list[Event], more: list[Event]) -> None:
    run = _what_is_legal_of(life)
    if not run.status.ended:
        run = advance(run, entry(Failed(reason=Reason.LOST, message="", outcome=Lost(message=""))))
    for event in more:
        with pytest.raises(IllegalTransition):
            advance(run, entry(event))


@given(st.lists(events, max_size=12))
def test_a_run_has_an_end_exactly_when_it_has_ended(life: list[Event]) -> None:
    run = _what_is_legal_of(life)
    assert (run.ended_at is not None) == run.status.ended
    assert (run.log_size is not None) == run.status.ended
    assert (run.reason is not None) == (run.status is Status.FAILED)
    if run.status.ended:
        assert run.deadlines == ()
    if run.status is Status.RUNNING:
        assert run.started_at is not None


def _what_is_legal_of(life: Iterable[Event]) -> Run:
    run = queued()
    for seconds, event in enumerate(life, 1):
        if type(event) in TRANSITIONS[run.status]:
            run = advance(run, entry(event, seconds))
    return run


def test_submitting_says_who_when_and_what() -> None:
    run = begin(entry(Submitted(SPEC), 5, ANNA), seq=7, attempt=2, retry_of="q")
    assert run.status is Status.QUEUED
    assert (run.id, run.seq, run.spec) == ("r", 7, SPEC)
    assert (run.created_at, run.created_by) == (at(5).wall, ANNA)
    assert (run.attempt, run.retry_of) == (2, "q")


def test_dispatching_and_requeuing_leave_it_queued() -> None:
    assert after(Dispatched("local")).dispatched_at == at(1).wall
    requeued = after(Dispatched("local"), Requeued("never started"))
    assert (requeued.status, requeued.dispatched_at) == (Status.QUEUED, None)


def test_starting_names_the_process_and_its_deadlines() -> None:
    deadline = Deadline(DeadlineKind.TIMEOUT, at(60))
    run = after(Dispatched("local"), Started(PROCESS, (deadline,)))
    assert (run.process, run.deadlines, run.started_at) == (PROCESS, (deadline,), at(2).wall)


class TestStopping:
    """A stop is data: it is kept with who and when, and its end decides the status."""

    def test_a_cancel_leaves_a_running_run_running(self) -> None:
        run = after(Started(PROCESS), stop())
        assert run.status is Status.RUNNING
        assert run.cancel_requested_at == at(2).wall
        assert run.stop is not None
        assert (run.stop.cause, run.stop.requested_by) == (StopCause.CANCEL, ANNA)

    def test_a_second_request_does_not_hide_who_asked_first(self) -> None:
        once = after(Started(PROCESS), stop())
        twice = advance(once, entry(stop(StopCause.SHUTDOWN, BERT), 9))
        assert (twice.stop, twice.cancel_requested_at) == (once.stop, once.cancel_requested_at)

    def test_who_wanted_it_killed_is_told_beside_who_asked_first(self) -> None:
        run = after(Started(PROCESS), stop())
        for second, actor in ((9, BERT), (10, ANNA)):
            run = advance(run, entry(stop(StopCause.SHUTDOWN, actor, force=True), second))
        assert run.stop is not None
        assert (run.stop.cause, run.stop.requested_by) == (StopCause.CANCEL, ANNA)
        assert (run.stop.forced_at, run.stop.forced_by) == (at(9).wall, BERT)

    def test_a_time_limit_is_no_cancel(self) -> None:
        run = after(Started(PROCESS), stop(StopCause.TIMEOUT, SYSTEM))
        assert run.stop is not None
        assert run.cancel_requested_at is None

    def test_a_cancel_after_a_time_limit_is_seen_as_one(self) -> None:
        run = after(Started(PROCESS), stop(StopCause.TIMEOUT, SYSTEM), stop())
        assert run.cancel_requested_at == at(3).wall
        assert run.stop is not None
        assert run.stop.cause is StopCause.TIMEOUT

    def test_the_receipt_has_each_signal_in_order(self) -> None:
        run = after(Started(PROCESS), stop(), sent("TERM"), sent("KILL"))
        assert run.stop is not None
        assert [step.signal for step in run.stop.steps] == ["TERM", "KILL"]
        assert run.stop.escalated

    def test_each_step_says_how_long_it_took_and_who_was_left(self) -> None:
        """On the monotonic clock, and all of it only when it is over."""
        run = after(Started(PROCESS), stop(), sent("TERM", (1, 2, 3)))
        assert run.stop is not None
        assert [(it.took_s, it.left) for it in run.stop.steps] == [(None, ())]
        run = advance(run, entry(sent("KILL", (2, 3)), 13))
        hour_back = Moment(at(-3600).wall, at(13.5).mono_ns, "boot")
        end = judge(Exited(signal="KILL", stopped=StopCause.CANCEL, survivors=(3,)))
        run = advance(run, Entry("r", hour_back, SYSTEM, end))
        assert run.stop is not None
        assert [(it.took_s, it.left) for it in run.stop.steps] == [(10, (2, 3)), (0.5, (3,))]
        assert (run.stop.took_s, run.stop.survivors) == (11.5, (3,))

    def test_of_a_stop_whose_end_nobody_saw_nothing_is_claimed(self) -> None:
        run = after(Started(PROCESS), stop(), sent("TERM", (1,)), judge(Lost(message="gone")))
        assert run.stop is not None
        assert (run.stop.took_s, run.stop.steps[0].took_s) == (None, None)

    def test_a_kill_at_once_is_no_escalation(self) -> None:
        run = after(Started(PROCESS), stop(force=True), sent("KILL"))
        assert run.stop is not None
        assert not run.stop.escalated

    def test_a_stopping_signal_brings_its_deadlines(self) -> None:
        kill = Deadline(DeadlineKind.KILL, at(10))
        assert after(Started(PROCESS), stop(), sent("TERM", deadlines=(kill,))).deadlines == (kill,)

    def test_a_signal_that_is_no_part_of_a_stop_changes_nothing(self) -> None:
        running = after(Started(PROCESS, (Deadline(DeadlineKind.TIMEOUT, at(60)),)))
        assert advance(running, entry(sent("HUP", stopping=False))) == running
        stopping = advance(running, entry(stop()))
        assert advance(stopping, entry(sent("HUP", stopping=False))) == stopping


class TestPausing:
    """A paused run runs; how long it was paused is told, on the monotonic clock."""

    def test_a_pause_has_a_beginning_and_an_end(self) -> None:
        run = after(Started(PROCESS), Paused(PauseMeans.FREEZER))
        assert (run.status, run.paused_at, run.paused_s) == (Status.RUNNING, at(2).wall, 0)
        again = advance(run, entry(Paused(PauseMeans.FREEZER), 5))
        assert again == run
        resumed = advance(run, entry(Resumed(), 12))
        assert (resumed.status, resumed.paused_at, resumed.paused_s) == (Status.RUNNING, None, 10)
        assert advance(resumed, entry(Resumed(), 13)) == resumed

    def test_what_has_ended_is_not_paused(self) -> None:
        run = after(Started(PROCESS), Paused(PauseMeans.SIGNAL))
        ended = advance(run, entry(judge(Exited(signal="KILL")), 5))
        assert (ended.paused_at, ended.paused_s) == (None, 3)

    def test_how_long_it_was_is_not_known_of_another_life_of_the_machine(self) -> None:
        run = after(Started(PROCESS), Paused(PauseMeans.FREEZER))
        lost = judge(Lost(message="the machine was started anew"))
        rebooted = Moment(at(100).wall, at(50).mono_ns, "another boot")
        ended = advance(run, Entry("r", rebooted, SYSTEM, lost))
        assert (ended.paused_at, ended.paused_s) == (None, 0)


class TestEnding:
    """What is known of an end is kept, what is not known is not made up."""

    def test_an_exit_is_recorded_before_the_output_ends(self) -> None:
        exited = after(Started(PROCESS), ProgramExited(3, None))
        assert (exited.status, exited.exit_code, exited.exited_at) == (
            Status.RUNNING,
            3,
            at(2).wall,
        )
        ended = advance(exited, entry(judge(Exited(exit_code=3)), 8))
        assert (ended.exited_at, ended.ended_at) == (at(2).wall, at(8).wall)

    def test_the_outcome_is_kept(self) -> None:
        outcome = Exited(
            signal="KILL", output_complete=False, killed=(5, 6), survivors=(7,), usage=Usage(1, 2)
        )
        run = after(Started(PROCESS), judge(outcome))
        assert (run.exit_code, run.signal) == (None, "KILL")
        assert (run.output_complete, run.killed, run.survivors) == (False, (5, 6), (7,))
        assert run.usage == Usage(1, 2)
        assert run.exited_at == run.ended_at

    def test_its_log_ends_where_it_ended(self) -> None:
        end = Entry("r", at(9), SYSTEM, judge(Exited(exit_code=0)), log_offset=1234)
        assert advance(after(Started(PROCESS)), end).log_size == 1234

    def test_it_lasted_from_start_to_end_on_the_monotonic_clock(self) -> None:
        run = after(Dispatched("local"), Started(PROCESS))
        hour_back = Moment(at(-3600).wall, at(4.5).mono_ns, "boot")
        ended = advance(run, Entry("r", hour_back, SYSTEM, judge(Exited(exit_code=0))))
        assert ended.duration_s == 2.5

    def test_what_never_started_did_not_last(self) -> None:
        run = after(Dispatched("local"), judge(NotStarted(message="no such file")))
        assert (run.duration_s, run.started_at, run.exit_code) == (None, None, None)
        assert (run.reason, run.message) == (Reason.START_FAILED, "no such file")

    def test_of_a_lost_run_nothing_is_claimed(self) -> None:
        run = after(Started(PROCESS), judge(Lost(message="gone", killed=(8,))))
        assert (run.duration_s, run.exit_code, run.signal) == (None, None, None)
        assert (run.output_complete, run.killed) == (False, (8,))

    def test_a_cancel_while_queued_ends_it_without_an_outcome(self) -> None:
        run = after(Cancelled(message="cancelled while queued"))
        assert (run.status, run.exit_code, run.output_complete) == (Status.CANCELLED, None, None)


class TestJudging:
    """Which end it is depends on what was seen, and on whether a signal of ours came first."""

    @pytest.mark.parametrize(
        ("exit_code", "signal", "stopped"),
        [
            *product((0, 1, 255), (None,), (None, *StopCause)),
            *product((None,), ("KILL",), (None, *StopCause)),
        ],
    )
    def test_of_every_exit(
        self, exit_code: int | None, signal: str | None, stopped: StopCause | None
    ) -> None:
        outcome = Exited(exit_code=exit_code, signal=signal, stopped=stopped)
        event = judge(outcome)
        if stopped in {StopCause.CANCEL, StopCause.SHUTDOWN}:
            assert isinstance(event, Cancelled)
        elif stopped is not None:
            assert isinstance(event, Failed)
            assert event.reason == stopped.value
        elif exit_code == 0:
            assert isinstance(event, Succeeded)
        else:
            assert isinstance(event, Failed)
            assert event.reason is (Reason.SIGNAL if signal else Reason.EXIT_CODE)
        assert event.outcome == outcome

    @pytest.mark.parametrize(
        ("outcome", "reason"),
        [
            (NotStarted(message="why"), Reason.START_FAILED),
            (Lost(message="why"), Reason.LOST),
            (Crashed(message="why"), Reason.INTERNAL),
        ],
    )
    def test_of_what_did_not_run_to_an_end(self, outcome: Outcome, reason: Reason) -> None:
        event = judge(outcome)
        assert isinstance(event, Failed)
        assert (event.reason, event.message, event.outcome) == (reason, "why", outcome)

    @pytest.mark.parametrize(
        ("outcome", "reason"),
        [
            (Exited(signal="KILL", out_of_memory=OutOfMemory.LIMIT), Reason.MEMORY_LIMIT),
            (Exited(exit_code=1, out_of_memory=OutOfMemory.LIMIT), Reason.MEMORY_LIMIT),
            (Exited(signal="KILL", out_of_memory=OutOfMemory.MACHINE), Reason.SIGNAL),
        ],
    )
    def test_of_a_lack_of_memory(self, outcome: Exited, reason: Reason) -> None:
        event = judge(outcome)
        assert isinstance(event, Failed)
        assert event.reason is reason

    def test_a_lack_of_memory_that_it_got_over_is_no_failure(self) -> None:
        outcome = Exited(exit_code=0, out_of_memory=OutOfMemory.LIMIT)
        assert isinstance(judge(outcome), Succeeded)

    def test_a_stop_of_ours_that_came_first_is_the_reason(self) -> None:
        outcome = Exited(signal="KILL", stopped=StopCause.CANCEL, out_of_memory=OutOfMemory.LIMIT)
        assert isinstance(judge(outcome), Cancelled)

    def test_of_what_a_stop_kept_from_starting(self) -> None:
        outcome = NotStarted(message="cancelled before the start", stopped=StopCause.CANCEL)
        assert isinstance(judge(outcome), Cancelled)

    @given(outcomes)
    def test_its_event_always_ends_a_running_run(self, outcome: Outcome) -> None:
        assert after(Started(PROCESS), judge(outcome)).status.ended

    @pytest.mark.parametrize(
        "outcome",
        [
            NotStarted(message=""),
            NotStarted(message="", stopped=StopCause.SHUTDOWN),
            Lost(message=""),
            Crashed(message=""),
        ],
    )
    def test_its_event_ends_a_dispatched_run_that_did_not_start(self, outcome: Outcome) -> None:
        assert after(Dispatched("local"), judge(outcome)).status.ended

    @pytest.mark.parametrize(
        ("outcome", "message"),
        [
            (Exited(exit_code=3), "exit code 3"),
            (Exited(signal="SEGV"), "ended by SIGSEGV"),
            (Exited(exit_code=0, stopped=StopCause.CANCEL), "exit code 0"),
            (
                Exited(signal="TERM", stopped=StopCause.TIMEOUT),
                "stopped at its time limit; ended by SIGTERM",
            ),
            (
                Exited(signal="KILL", out_of_memory=OutOfMemory.LIMIT),
                "killed at its memory limit; ended by SIGKILL",
            ),
            (
                Exited(signal="KILL", out_of_memory=OutOfMemory.MACHINE),
                "ended by SIGKILL; the machine had no memory left, and the kernel killed processes of the run",
            ),
        ],
    )
    def test_its_message_says_how(self, outcome: Exited, message: str) -> None:
        event = judge(outcome)
        assert isinstance(event, Failed | Cancelled)
        assert event.message == message
