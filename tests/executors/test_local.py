"""Real processes, and what only they can do; what every executor promises is in contract/."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor import lifecycle
from supervisor.executors.local import LocalExecutor
from supervisor.log.logfile import Chunk, LogReader
from supervisor.model import Failed, ProgramExited, Reason, Started, StopRequest, Stream
from supervisor.outcome import Exited, NotStarted, Outcome, StopCause
from supervisor.processes import procfs
from supervisor.processes.launcher import Launcher
from supervisor.spec import LogLimit, OnFull, RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, noise, open_console, wait_until
from supervisor.testing.rig import ConsoleRig
from tests.descriptors import free_descriptors

STEPS = (sys.executable, "-I", "-S", str(Path(__file__).parent.parent / "programs" / "steps.py"))
MB = 1_000_000
TERM = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER)
FORCE = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER, force=True)


@pytest.fixture
async def executor() -> AsyncIterator[LocalExecutor]:
    """Afterwards no child of ours is left, living or dead, that was not there before."""
    others = procfs.children()
    launcher = Launcher()
    yield LocalExecutor(launcher, instance=f"local-{os.getpid()}", drain_s=0.5)
    launcher.close()
    assert procfs.children() - others == set()


def shell(line: str) -> RunSpec:
    return RunSpec(argv=("/bin/sh", "-c", line), cwd="/")


async def carry_out(
    executor: LocalExecutor, directory: Path, spec: RunSpec
) -> tuple[Outcome, ConsoleRig]:
    run = a_run(spec)
    with trio.fail_after(300), open_console(directory, run) as rig:
        return await executor.execute(run, rig.console), rig


@asynccontextmanager
async def live(
    executor: LocalExecutor, directory: Path, spec: RunSpec
) -> AsyncIterator[tuple[ConsoleRig, list[Outcome]]]:
    """A run under way; its end is waited for, and the outcome then stands in the list."""
    run, outcomes = a_run(spec), list[Outcome]()

    async def carry_out() -> None:
        outcomes.append(await executor.execute(run, rig.console))

    with trio.fail_after(300), open_console(directory, run) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry_out)
            yield rig, outcomes


async def test_much_output_on_both_streams_is_exact(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """20 MB of every byte there is on stdout while stderr gets 5 MB."""
    steps = " ".join(STEPS)
    both = f"{steps} 'noise stderr 5000000 2' & {steps} 'noise stdout 20000000 1'; wait"
    outcome, rig = await carry_out(executor, tmp_path, shell(both))
    assert isinstance(outcome, Exited)
    assert outcome.output_complete
    for stream, size, seed in ((Stream.STDOUT, 20 * MB, 1), (Stream.STDERR, 5 * MB, 2)):
        got = rig.output(stream)
        assert len(got) == size
        assert hashlib.sha256(got).digest() == hashlib.sha256(noise(size, seed)).digest()


async def test_many_runs_at_once_end_each_in_its_way(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    codes: dict[int, int | None] = {}

    async def one(number: int) -> None:
        run = a_run(shell(f"echo {number}; exit {number}"), f"run-{number}")
        with open_console(tmp_path, run) as rig:
            outcome = await executor.execute(run, rig.console)
            assert isinstance(outcome, Exited)
            assert rig.output() == b"%d\n" % number
            codes[number] = outcome.exit_code

    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(one, number)
    assert codes == {number: number for number in range(100)}


async def test_a_run_whose_full_log_is_a_failure_is_stopped(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """It would write for ever; what it may keep is there, and why it was stopped."""
    limit = LogLimit(100_000, OnFull.FAIL)
    spec = msgspec.structs.replace(shell("yes; echo not reached"), log_limit=limit)
    outcome, rig = await carry_out(executor, tmp_path, spec)
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("TERM", StopCause.OUTPUT_LIMIT)
    assert rig.output() == b"y\n" * 50_000
    assert rig.run.stop is not None
    assert (rig.run.stop.cause, rig.run.cancel_requested_at) == (StopCause.OUTPUT_LIMIT, None)
    ended = lifecycle.judge(outcome)
    assert isinstance(ended, Failed)
    assert ended.reason is Reason.OUTPUT_LIMIT


async def test_a_run_that_falls_silent_is_stopped(executor: LocalExecutor, tmp_path: Path) -> None:
    """Counted from its last byte, not from its start."""
    line = f"echo 1; until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo 2; sleep 60"
    spec = msgspec.structs.replace(shell(line), no_output_timeout_s=2.0)
    async with live(executor, tmp_path, spec) as (rig, outcomes):
        await rig.wait_output(b"1\n")
        (tmp_path / "go").touch()
    [outcome] = outcomes
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("TERM", StopCause.NO_OUTPUT_TIMEOUT)
    assert rig.output() == b"1\n2\n"
    assert rig.run.stop is not None
    with LogReader.open(tmp_path, "run") as log:
        last = log.read(2, 10)[-1]
    assert isinstance(last, Chunk)
    asked_us = rig.run.stop.requested_at.timestamp() * 1e6
    assert asked_us - last.time_us > 1.9e6
    ended = lifecycle.judge(outcome)
    assert isinstance(ended, Failed)
    assert ended.reason is Reason.NO_OUTPUT_TIMEOUT


async def test_a_run_that_ends_in_time_is_not_waited_for(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    spec = msgspec.structs.replace(shell("exit 3"), no_output_timeout_s=3600)
    outcome, _rig = await carry_out(executor, tmp_path, spec)
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.stopped) == (3, None)


async def test_closed_outputs_are_not_the_end(executor: LocalExecutor, tmp_path: Path) -> None:
    """A program may close both and live on; its exit is what counts."""
    spec = shell(f"exec >&- 2>&-; until [ -e {tmp_path}/go ]; do sleep 0.01; done; exit 8")
    async with live(executor, tmp_path, spec) as (rig, outcomes):
        await rig.wait_event(Started)
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert outcomes == []
        (tmp_path / "go").touch()
    assert isinstance(outcomes[0], Exited)
    assert (outcomes[0].exit_code, outcomes[0].output_complete) == (8, True)


async def test_a_suspended_run_can_be_stopped(executor: LocalExecutor, tmp_path: Path) -> None:
    spec = shell("trap 'exit 6' TERM; echo ready; kill -STOP $$; sleep 60")
    async with live(executor, tmp_path, spec) as (rig, outcomes):
        await rig.wait_output(b"ready")
        await wait_until(lambda: stopped(rig))
        rig.stop.ask(TERM)
    assert isinstance(outcomes[0], Exited)
    assert (outcomes[0].exit_code, outcomes[0].stopped) == (6, StopCause.CANCEL)


def stopped(rig: ConsoleRig) -> bool:
    assert rig.run.process is not None
    return Path(f"/proc/{rig.run.process.pid}/stat").read_text().split(") ")[1][0] == "T"


async def test_a_child_without_the_output_ends_with_the_run(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """Nothing waits for it: it is killed and named as soon as the program has ended."""
    vars(executor)["_drain_s"] = 3600.0  # nobody waits as long as that
    spec = shell("(exec 2>&- >&- sleep 60) & while [ -e /proc/$!/fd/1 ]; do :; done; echo $!")
    outcome, rig = await carry_out(executor, tmp_path, spec)
    assert isinstance(outcome, Exited)
    assert outcome.killed == (int(rig.output()),)
    assert outcome.exit_code == 0
    assert procfs.read_stat(outcome.killed[0]) is None or not list(
        procfs.living_in(outcome.killed[0])
    )


async def test_a_signal_without_a_name_of_its_own_is_told(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    outcome, _rig = await carry_out(executor, tmp_path, shell("kill -36 $$"))
    assert isinstance(outcome, Exited)
    assert outcome.signal == "RTMIN+2"


async def test_cpu_time_is_the_runs_own(executor: LocalExecutor, tmp_path: Path) -> None:
    """Also that of children it has waited for."""
    busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    outcome, _rig = await carry_out(executor, tmp_path, shell(f"sh -c '{busy}'; true"))
    idle, _rig = await carry_out(executor, tmp_path, shell("exit 0"))
    assert isinstance(outcome, Exited)
    assert isinstance(idle, Exited)
    assert outcome.usage is not None
    assert idle.usage is not None
    assert outcome.usage.user_s > 0.02 > idle.usage.user_s


# --- no descriptors left ---------------------------------------------------------------------------


async def test_without_descriptors_a_run_does_not_start_and_says_why(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    run = a_run(shell("exit 0"))
    with trio.fail_after(300), open_console(tmp_path, run) as rig:
        with free_descriptors(0):
            outcome = await executor.execute(run, rig.console)
        assert isinstance(outcome, NotStarted)
        assert outcome.message == "cannot make its output pipes: Too many open files"
        again = await executor.execute(run, rig.console)
        assert isinstance(again, Exited)


async def test_without_descriptors_a_run_ends_as_it_does(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """Its end is seen, and all of its output is stored, through what it has already."""
    spec = shell(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo out; exit 3")
    (tmp_path / "not-yet").touch()
    async with live(executor, tmp_path, spec) as (rig, outcomes):
        await rig.wait_event(Started)
        with free_descriptors(0):
            (tmp_path / "not-yet").rename(tmp_path / "go")
            while not outcomes:
                await trio.testing.wait_all_tasks_blocked(0.01)
    assert isinstance(outcomes[0], Exited)
    assert (outcomes[0].exit_code, outcomes[0].output_complete) == (3, True)
    assert rig.output() == b"out\n"


async def test_without_descriptors_a_run_can_be_stopped(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """The group is reached, and the descriptor that its end gives back is enough to look."""
    async with live(executor, tmp_path, shell("sleep 60 & echo ready; wait")) as (rig, outcomes):
        await rig.wait_output(b"ready")
        with free_descriptors(0):
            rig.stop.ask(FORCE)
            while not outcomes:
                await trio.testing.wait_all_tasks_blocked(0.01)
    assert isinstance(outcomes[0], Exited)
    assert (outcomes[0].signal, outcomes[0].stopped) == ("KILL", StopCause.CANCEL)
    assert outcomes[0].survivors == ()


# --- a full disk -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.root
async def test_the_last_bytes_wait_for_the_disk(
    executor: LocalExecutor, small_disk: Path, tmp_path: Path
) -> None:
    """The program has ended and nobody holds its output, but it is not given up."""
    filler = small_disk / "filler"
    spec = shell(f"{' '.join(STEPS)} 'noise stdout 50000 7'; exit 4")
    with filler.open("wb") as file:
        file.truncate(0)
        file.write(bytes(1_015_000))
    async with live(executor, small_disk, spec) as (rig, outcomes):
        await rig.wait_event(ProgramExited)
        assert rig.log.trouble is not None
        await trio.sleep(executor._drain_s + 0.2)  # as long as anybody else would be waited for
        assert outcomes == []
        filler.unlink()
    assert isinstance(outcomes[0], Exited)
    assert (outcomes[0].exit_code, outcomes[0].output_complete) == (4, True)
    assert read(small_disk) == noise(50_000, 7)


def read(directory: Path) -> bytes:
    return (directory / "run.log").read_bytes()
