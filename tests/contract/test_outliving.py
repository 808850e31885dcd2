"""Every executor signals a run, is cancelled without harm, and goes on with what it left."""

from __future__ import annotations

import pytest
import trio

from supervisor.errors import RunEnded
from supervisor.executors import Trace
from supervisor.outcome import Exited, Lost
from supervisor.spec import StopScope
from supervisor.testing import open_console
from tests.contract.carrying import LONG, Bench, carry_out, live, marked


async def test_a_signal_reaches_the_program_and_is_no_stop(bench: Bench) -> None:
    run = bench.run("write stdout ready", LONG)
    async with live(bench, run) as it:
        await it.rig.wait_output(b"ready")
        step = await bench.executor.signal(it.rig.run, "USR1", StopScope.TREE)
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("USR1", None)
    assert (step.signal, step.result) == ("USR1", "sent")
    assert len(step.pids) == 1


async def test_a_signal_may_be_for_the_first_process_alone(bench: Bench) -> None:
    run = bench.run("leave 60", "write stdout ready", LONG)
    async with live(bench, run) as it:
        await it.rig.wait_output(b"ready")
        step = await bench.executor.signal(it.rig.run, "USR1", StopScope.MAIN)
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert it.rig.run.process is not None
    pid = it.rig.run.process.pid
    assert (step.target, step.pids) == (f"process {pid}", (pid,))
    assert (outcome.signal, len(outcome.killed)) == ("USR1", 1)


async def test_there_is_nothing_to_signal_before_and_after(bench: Bench) -> None:
    run = bench.run("exit 0")
    with pytest.raises(RunEnded):
        await bench.executor.signal(run, "USR1", StopScope.TREE)
    await carry_out(bench, run)
    with pytest.raises(RunEnded):
        await bench.executor.signal(run, "USR1", StopScope.TREE)


async def test_cancellation_lets_go_at_once_and_leaves_no_process(bench: Bench) -> None:
    """Not even one that ignores signals, and nothing is recorded any more."""
    run = bench.run("ignore TERM", "leave 60", "write stdout ready", LONG)
    with trio.fail_after(300), open_console(bench.directory, run) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.executor.execute, run, rig.console)
            await rig.wait_output(b"ready")
            events = list(rig.recorder.events)
            nursery.cancel_scope.cancel()
        assert rig.recorder.events == events
    assert marked() == []
    with pytest.raises(RunEnded):
        await bench.executor.signal(run, "USR1", StopScope.TREE)


async def test_cancellation_before_the_start_leaves_no_process(bench: Bench) -> None:
    proof = bench.directory / "it-ran"
    run = bench.run(f"mark {proof}")
    with open_console(bench.directory, run) as rig, trio.fail_after(300):
        scope = trio.CancelScope()

        class Never:
            committed = trio.Event()

        def post(_event: object, _by: object) -> Never:
            scope.cancel()
            return Never()

        rig.console._post = post
        with scope:
            await bench.executor.execute(run, rig.console)
    assert scope.cancelled_caught
    assert marked() == []
    assert not proof.exists()


async def test_what_was_dispatched_with_no_start_on_record_never_started(bench: Bench) -> None:
    assert await bench.executor.find(bench.run("exit 0")) is Trace.NEVER_STARTED


async def test_a_run_nobody_saw_the_end_of_is_lost(bench: Bench) -> None:
    """Also when there is nothing left of it."""
    run = bench.run("write stdout ready", LONG)
    with trio.fail_after(300), open_console(bench.directory, run) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.executor.execute, run, rig.console)
            await rig.wait_output(b"ready")
            nursery.cancel_scope.cancel()
        outcome = await bench.executor.reattach(rig.run, rig.console)
    assert isinstance(outcome, Lost)
    assert outcome.killed == ()
