"""Every executor stops a run as asked, and pauses it."""

from __future__ import annotations

import pytest
import trio

from supervisor.errors import RunEnded
from supervisor.model import (
    Paused,
    ProgramExited,
    Resumed,
    Signalled,
)
from supervisor.outcome import Exited, NotStarted, StopCause
from supervisor.spec import StopScope
from supervisor.testing import TESTER, open_console
from tests.contract.carrying import LONG, Bench, ask, carry_out, live, stop_request

# --- stopping -------------------------------------------------------------------------------------


async def test_a_stop_before_the_start_keeps_it_from_starting(bench: Bench) -> None:
    proof = bench.directory / "it-ran"
    run = bench.run(f"mark {proof}")
    with open_console(bench.directory, run) as rig, trio.fail_after(300):
        rig.stop.ask(stop_request())
        outcome = await bench.executor.execute(run, rig.console)
    assert isinstance(outcome, NotStarted)
    assert outcome.stopped is StopCause.CANCEL
    assert rig.recorder.events == []
    assert not proof.exists()


async def test_a_stop_while_its_start_is_recorded_keeps_it_from_starting(bench: Bench) -> None:
    proof = bench.directory / "it-ran"
    run = bench.run(f"mark {proof}")
    with open_console(bench.directory, run) as rig, trio.fail_after(300):
        rig.recorder.on_event = lambda _event: rig.stop.ask(stop_request())
        outcome = await bench.executor.execute(run, rig.console)
    assert isinstance(outcome, NotStarted)
    assert outcome.stopped is StopCause.CANCEL
    assert not proof.exists()


@pytest.mark.parametrize("leave", ["leave", "regroup"])
async def test_a_stop_sends_its_signal_to_the_tree(bench: Bench, leave: str) -> None:
    async with live(bench, bench.run(f"{leave} 60", "write stdout ready", LONG)) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request("INT"))
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("INT", StopCause.CANCEL)
    assert outcome.output_complete
    assert it.steps() == [("INT", "sent")]
    assert it.rig.run.stop is not None
    assert len(it.rig.run.stop.steps[0].pids) == 2
    assert not it.rig.run.stop.escalated


async def test_a_stop_of_the_first_process_alone_kills_what_it_leaves(bench: Bench) -> None:
    """The others were not asked, so they have no more than the time that output may take."""
    run = bench.run("leave 60", "write stdout ready", LONG)
    async with live(bench, run) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request("INT", 60, scope=StopScope.MAIN))
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("INT", StopCause.CANCEL)
    assert outcome.output_complete
    assert it.steps() == [("INT", "sent"), ("KILL", "sent")]
    receipt = it.rig.run.stop
    assert receipt is not None
    main, rest = receipt.steps
    assert main.target == f"process {main.pids[0]}"
    assert len(set(rest.pids) - set(main.pids)) == 1


async def test_a_program_that_takes_its_children_along_needs_no_kill(bench: Bench) -> None:
    run = bench.run("leave 0.1", "write stdout ready", LONG)
    vars(bench.executor)["_drain_s"] = 60.0
    async with live(bench, run) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request("INT", 60, scope=StopScope.MAIN))
        await it.wait_outcome()
    assert it.steps() == [("INT", "sent")]


async def test_the_cause_of_a_stop_is_told(bench: Bench) -> None:
    async with live(bench, bench.run("write stdout ready", LONG)) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request(cause=StopCause.SHUTDOWN))
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert outcome.stopped is StopCause.SHUTDOWN


async def test_who_ignores_the_signal_is_killed_after_the_grace(bench: Bench) -> None:
    async with live(bench, bench.run("ignore TERM", "write stdout ready", LONG)) as it:
        await it.rig.wait_output(b"ready")
        asked_at = trio.current_time()
        ask(it, stop_request("TERM", 0.2))
        outcome = await it.wait_outcome()
        assert trio.current_time() - asked_at >= 0.2
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("KILL", StopCause.CANCEL)
    assert it.steps() == [("TERM", "sent"), ("KILL", "sent")]
    assert it.rig.run.stop is not None
    assert it.rig.run.stop.escalated


async def test_a_program_may_end_in_its_own_way_within_the_grace(bench: Bench) -> None:
    """Ignoring the signal and ending by itself is no escalation, but still a stop."""
    go = bench.directory / "go"
    run = bench.run("ignore TERM", "write stdout ready", f"await {go}", "exit 7")
    async with live(bench, run) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request("TERM", 15))
        await it.rig.wait_event(Signalled)
        go.touch()
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.stopped) == (7, StopCause.CANCEL)
    assert it.steps() == [("TERM", "sent")]


async def test_force_kills_at_once(bench: Bench) -> None:
    async with live(bench, bench.run("ignore TERM", "write stdout ready", LONG)) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request(grace_s=60, force=True))
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("KILL", StopCause.CANCEL)
    assert it.steps() == [("KILL", "sent")]


async def test_force_cuts_the_grace_of_an_earlier_stop_short(bench: Bench) -> None:
    async with live(bench, bench.run("ignore TERM", "write stdout ready", LONG)) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request(grace_s=60))
        await it.rig.wait_event(Signalled)
        ask(it, stop_request(force=True))
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert outcome.signal == "KILL"
    assert it.steps() == [("TERM", "sent"), ("KILL", "sent")]


async def test_a_second_stop_without_force_changes_nothing(bench: Bench) -> None:
    go = bench.directory / "go"
    run = bench.run("ignore TERM", "write stdout ready", f"await {go}")
    async with live(bench, run) as it:
        await it.rig.wait_output(b"ready")
        ask(it, stop_request("TERM", 30))
        await it.rig.wait_event(Signalled)
        ask(it, stop_request("KILL", 0.0))
        await trio.testing.wait_all_tasks_blocked()
        assert it.outcome is None
        go.touch()
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert outcome.exit_code == 0
    assert it.steps() == [("TERM", "sent")]


async def test_a_stop_after_the_exit_changes_nothing_of_how_it_ended(bench: Bench) -> None:
    """Not even while a child still holds the output: the stop then only ends the wait for it."""
    run = bench.run("leave 60", "exit 4")
    vars(bench.executor)["_drain_s"] = 60.0
    async with live(bench, run) as it:
        await it.rig.wait_event(ProgramExited)
        ask(it, stop_request())
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.signal, outcome.stopped) == (4, None, None)
    assert len(outcome.killed) == 1


async def test_the_time_limit_stops_it(bench: Bench) -> None:
    outcome, rig = await carry_out(bench, bench.run(LONG, timeout_s=0.2))
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("TERM", StopCause.TIMEOUT)
    assert rig.run.stop is not None
    assert rig.run.stop.cause is StopCause.TIMEOUT
    assert rig.run.cancel_requested_at is None


async def test_a_time_limit_that_is_not_reached_does_nothing(bench: Bench) -> None:
    outcome, rig = await carry_out(bench, bench.run("exit 3", timeout_s=60))
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.stopped) == (3, None)
    assert rig.run.stop is None


# --- pausing --------------------------------------------------------------------------------------


async def test_a_paused_run_does_nothing_until_it_is_resumed(bench: Bench) -> None:
    go = bench.directory / "go"
    run = bench.run("write stdout ready", f"await {go}", "write stdout done")
    async with live(bench, run) as it:
        await it.rig.wait_output(b"ready")
        pausing = it.rig.console.pausing
        assert pausing is not None
        pausing.pause()
        go.touch()
        await trio.sleep(0.3)  # there is nothing to wait for: it would have written
        assert it.rig.output() == b"ready"
        pausing.resume()
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert it.rig.output() == b"readydone"


@pytest.mark.parametrize("force", [True, False])
async def test_a_paused_run_can_be_stopped(bench: Bench, force: bool) -> None:
    async with live(bench, bench.run("write stdout ready", LONG)) as it:
        await it.rig.wait_output(b"ready")
        assert it.rig.console.pausing is not None
        it.rig.recorder.post(Paused(it.rig.console.pausing.pause()), TESTER)
        ask(it, stop_request(grace_s=60, force=force))
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("KILL" if force else "TERM", StopCause.CANCEL)
    # It has to go on to act on a signal, and does not to be killed.
    assert isinstance(it.rig.recorder.events[-1], Signalled if force else Resumed)


async def test_there_is_nothing_to_pause_when_the_program_has_ended(bench: Bench) -> None:
    vars(bench.executor)["_drain_s"] = 60.0
    async with live(bench, bench.run("leave 60", "exit 0")) as it:
        await it.rig.wait_event(ProgramExited)
        assert it.rig.console.pausing is not None
        with pytest.raises(RunEnded):
            it.rig.console.pausing.pause()
        ask(it, stop_request())
        await it.wait_outcome()
