"""Every executor starts what is asked for, or says why not, and takes its output to the end."""

from __future__ import annotations

import stat

import pytest
import trio

from supervisor.model import (
    ProgramExited,
    Started,
    Stream,
)
from supervisor.outcome import Exited, NotStarted
from supervisor.spec import RunSpec
from supervisor.testing import noise, open_console
from tests.contract.carrying import Bench, carry_out, live

# --- starting -------------------------------------------------------------------------------------


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


# --- the end of output ----------------------------------------------------------------------------


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
