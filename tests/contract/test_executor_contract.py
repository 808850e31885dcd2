"""What every executor promises, whatever it carries runs out with.

The programs are lists of steps (see `supervisor.testing.fake`): the fake executor plays them, for
the local one a real program carries them out in real processes.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.errors import RunEnded
from supervisor.executors import Executor, Trace
from supervisor.executors.environment import INSTANCE
from supervisor.executors.local import LocalExecutor
from supervisor.model import (
    Paused,
    ProgramExited,
    Resumed,
    Run,
    Signalled,
    Started,
    StopRequest,
    StopRequested,
    Stream,
)
from supervisor.outcome import Exited, Lost, NotStarted, Outcome, StopCause
from supervisor.processes import procfs
from supervisor.processes.launcher import Launcher
from supervisor.spec import RunSpec, StopPolicy, StopScope
from supervisor.testing import TESTER, FakeExecutor, a_run, noise, open_console, program
from supervisor.testing.rig import ConsoleRig
from tests.descriptors import none_is_left

STEPS = Path(__file__).parent.parent / "programs" / "steps.py"
DRAIN_S = 0.3
LONG = "wait 60"
TOKEN = f"contract-of-executors-{os.getpid()}"


class Bench(msgspec.Struct, frozen=True):
    """An executor under test, and how a list of steps becomes a program for it."""

    executor: Executor
    directory: Path
    argv: Callable[[tuple[str, ...]], tuple[str, ...]]

    def run(self, *steps: str, **changes: object) -> Run:
        """A dispatched run of `steps`. `changes` are fields of its spec."""
        return self.run_of(msgspec.structs.replace(program(), argv=self.argv(steps), **changes))

    def run_of(self, spec: RunSpec) -> Run:
        """A dispatched run of any spec."""
        return a_run(spec)


@pytest.fixture(params=["local", "fake"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """The executor; afterwards no process of the local one may be left in this instance."""
    if request.param == "fake":
        yield Bench(FakeExecutor(drain_s=DRAIN_S), tmp_path, lambda steps: ("program", *steps))
        return
    launcher = Launcher()
    executor = LocalExecutor(launcher, instance=TOKEN, drain_s=DRAIN_S)
    yield Bench(executor, tmp_path, lambda steps: (sys.executable, "-I", "-S", str(STEPS), *steps))
    launcher.close()
    for process in marked():  # those that escaped on purpose
        procfs.send_signal(process, "KILL")
        await procfs.wait_ended(process)


def marked() -> list[procfs.ProcessStat]:
    """Every living process that these tests' executor has made."""
    return [
        process
        for process in procfs.living()
        if procfs.environment(process.pid).get(INSTANCE.encode()) == TOKEN.encode()
    ]


@pytest.fixture(autouse=True)
def descriptors_are_closed() -> Iterator[None]:
    """Whatever a test does, no descriptor is left open behind it."""
    with none_is_left():
        yield


class Live:
    """A run that is being carried out."""

    def __init__(self, rig: ConsoleRig) -> None:
        self.rig = rig
        self.outcome: Outcome | None = None
        self.done = trio.Event()

    async def wait_outcome(self) -> Outcome:
        await self.done.wait()
        assert self.outcome is not None
        return self.outcome

    def steps(self) -> list[tuple[str, str]]:
        """The signals of the stop receipt, with what came of each."""
        receipt = self.rig.run.stop
        return [(step.signal, step.result) for step in receipt.steps] if receipt else []


@asynccontextmanager
async def live(bench: Bench, run: Run) -> AsyncIterator[Live]:
    """`run` under way; its end is waited for."""
    with trio.fail_after(300), open_console(bench.directory, run) as rig:
        async with trio.open_nursery() as nursery:
            it = Live(rig)

            async def carry_out() -> None:
                it.outcome = await bench.executor.execute(run, rig.console)
                it.done.set()

            nursery.start_soon(carry_out)
            yield it
            await it.done.wait()


async def carry_out(bench: Bench, run: Run) -> tuple[Outcome, ConsoleRig]:
    """`run` from start to end."""
    async with live(bench, run) as it:
        await it.done.wait()
    assert it.outcome is not None
    return it.outcome, it.rig


def stop_request(
    signal: str = "TERM",
    grace_s: float = 10.0,
    *,
    scope: StopScope = StopScope.TREE,
    force: bool = False,
    cause: StopCause = StopCause.CANCEL,
) -> StopRequest:
    return StopRequest(cause, StopPolicy(signal, grace_s, scope), TESTER, force)


def ask(it: Live, request: StopRequest) -> None:
    """Ask for a stop as the engine does: recorded first, then in the box."""
    it.rig.recorder.post(StopRequested(request), request.by)
    it.rig.stop.ask(request)


# --- starting ------------------------------------------------------------------------------------


async def test_a_start_is_recorded_before_the_first_instruction(bench: Bench) -> None:
    proof = bench.directory / "it-ran"
    run = bench.run(f"mark {proof}", "write stdout x")
    with open_console(bench.directory, run) as rig, trio.fail_after(300):
        seen: list[tuple[bool, int]] = []
        rig.recorder.on_event = lambda _event: seen.append((proof.exists(), rig.log.size))
        await bench.executor.execute(run, rig.console)
        assert seen[0] == (False, 0)
        assert isinstance(rig.recorder.events[0], Started)
        assert proof.read_text() == "x"


async def test_nothing_runs_until_the_start_is_on_disk(bench: Bench) -> None:
    """A journal that cannot commit keeps the program from its first instruction."""
    proof = bench.directory / "it-ran"
    run = bench.run(f"mark {proof}")
    with open_console(bench.directory, run) as rig, trio.fail_after(300):
        held = trio.Event()

        class Held:
            committed = held

        console = rig.console
        posts: list[object] = []
        console._post = lambda event, _by: (posts.append(event), Held())[1]  # type: ignore[func-returns-value]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.executor.execute, run, console)
            while not posts:
                await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert not proof.exists()
            held.set()
        assert proof.read_text() == "x"


@pytest.mark.parametrize("code", [0, 1, 3, 125, 126, 127, 255])
async def test_the_exit_code_is_the_programs_own(bench: Bench, code: int) -> None:
    outcome, _rig = await carry_out(bench, bench.run(f"exit {code}"))
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.signal, outcome.stopped) == (code, None, None)
    assert outcome.output_complete
    assert outcome.killed == outcome.survivors == ()


@pytest.mark.parametrize("signal", ["KILL", "SEGV", "TERM", "USR1"])
async def test_a_death_by_signal_is_told_by_its_name(bench: Bench, signal: str) -> None:
    outcome, _rig = await carry_out(bench, bench.run(f"die {signal}"))
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.signal, outcome.stopped) == (None, signal, None)


async def test_both_streams_are_exact(bench: Bench) -> None:
    """Whatever the bytes are, and however both streams alternate."""
    steps = [
        "write stdout a\r\n",
        "write stderr \x1b[31m\udcff\udc80",
        f"noise stdout {300_000} 1",
        f"noise stderr {200_000} 2",
        "write stdout end",
    ]
    outcome, rig = await carry_out(bench, bench.run(*steps))
    assert isinstance(outcome, Exited)
    assert outcome.output_complete
    assert rig.output(Stream.STDOUT) == b"a\r\n" + noise(300_000, 1) + b"end"
    assert rig.output(Stream.STDERR) == b"\x1b[31m\xff\x80" + noise(200_000, 2)
    assert len(rig.output()) == 500_000 + 6 + 7


async def test_output_comes_before_the_end(bench: Bench) -> None:
    """What was written can be read while the program goes on."""
    go = bench.directory / "go"
    async with live(bench, bench.run("write stdout early", f"await {go}")) as it:
        await it.rig.wait_output(b"early")
        assert it.outcome is None
        go.touch()
        assert isinstance(await it.wait_outcome(), Exited)


async def test_a_missing_program_is_not_started(bench: Bench) -> None:
    spec = RunSpec(argv=("no-such-program", "x"), cwd=str(bench.directory))
    outcome, _rig = await carry_out(bench, bench.run_of(spec))
    assert isinstance(outcome, NotStarted)
    assert "no-such-program" in outcome.message
    assert outcome.stopped is None


async def test_a_missing_working_directory_is_not_started(bench: Bench) -> None:
    proof = bench.directory / "it-ran"
    run = bench.run(f"mark {proof}", cwd=str(bench.directory / "nowhere"))
    outcome, _rig = await carry_out(bench, run)
    assert isinstance(outcome, NotStarted)
    assert str(bench.directory / "nowhere") in outcome.message
    assert not proof.exists()


async def test_a_file_that_is_not_executable_is_not_started(bench: Bench) -> None:
    script = bench.directory / "plain.sh"
    script.write_text("#!/bin/sh\n")
    outcome, _rig = await carry_out(bench, bench.run_of(RunSpec(argv=(str(script),), cwd="/")))
    assert isinstance(outcome, NotStarted)
    assert str(script) in outcome.message


async def test_a_script_with_a_missing_interpreter_is_not_started(bench: Bench) -> None:
    script = bench.directory / "bad.sh"
    script.write_text("#!/no/such/interpreter -x\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    outcome, _rig = await carry_out(bench, bench.run_of(RunSpec(argv=(str(script),), cwd="/")))
    assert isinstance(outcome, NotStarted)
    assert str(script) in outcome.message


# --- stopping ------------------------------------------------------------------------------------


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


# --- pausing -------------------------------------------------------------------------------------


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


# --- the end of output ---------------------------------------------------------------------------


async def test_output_of_a_child_that_outlives_the_program_is_waited_for(bench: Bench) -> None:
    vars(bench.executor)["_drain_s"] = 20.0
    outcome, _rig = await carry_out(bench, bench.run("leave 0.3", "exit 0"))
    assert isinstance(outcome, Exited)
    assert outcome.output_complete
    assert outcome.killed == ()


@pytest.mark.parametrize("leave", ["leave", "regroup"])
async def test_a_child_that_holds_the_output_too_long_is_killed_and_named(
    bench: Bench, leave: str
) -> None:
    async with live(bench, bench.run("write stdout x", f"{leave} 60", "exit 5")) as it:
        await it.rig.wait_event(ProgramExited)
        assert it.rig.run.exit_code == 5
        outcome = await it.wait_outcome()
    assert isinstance(outcome, Exited)
    assert outcome.exit_code == 5
    assert len(outcome.killed) == 1
    assert outcome.output_complete
    assert it.rig.output() == b"x"


async def test_output_held_from_outside_the_tree_is_told_to_be_incomplete(bench: Bench) -> None:
    outcome, _rig = await carry_out(bench, bench.run("escape 60", "exit 0"))
    assert isinstance(outcome, Exited)
    assert outcome.exit_code == 0
    assert not outcome.output_complete
    assert outcome.killed == ()


# --- signals, cancellation, restarts -------------------------------------------------------------


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
