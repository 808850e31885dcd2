"""Pausing real processes by every means there is, and what does not count meanwhile."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.errors import RunEnded
from supervisor.executors.local import LocalExecutor
from supervisor.executors.pausing import Pausing
from supervisor.model import PauseMeans, Signalled, StopRequest, Tracking
from supervisor.outcome import Exited, Lost, Outcome, StopCause
from supervisor.processes import procfs
from supervisor.processes.cgroup import open_cgroups
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.spec import RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console, wait_until
from supervisor.testing.rig import ConsoleRig

INSTANCE = f"pausing-{os.getpid()}"
FORCE = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER, force=True)
# One in a session of its own, which a signal to the process group does not reach.
BUSY = "setsid sh -c 'while :; do echo there; sleep 0.02; done' & while :; do echo here; sleep 0.02; done"


def why_no_cgroups() -> str:
    found = open_cgroups(f"probe-{os.getpid()}")
    if isinstance(found, str):
        return found
    found.tidy()
    return ""


WHY_NOT = why_no_cgroups()
needs_cgroups = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
RUNGS = [pytest.param(Tracking.CGROUP, marks=needs_cgroups), Tracking.SUBREAPER]


@pytest.fixture
async def executor(request: pytest.FixtureRequest) -> AsyncIterator[LocalExecutor]:
    launcher = Launcher()
    tracker, _why = open_tracker(request.param, INSTANCE, own=launcher.pids)
    yield LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
    launcher.close()
    tracker.close()


class Going(msgspec.Struct, frozen=True):
    """A run under way."""

    rig: ConsoleRig
    outcomes: list[Outcome]

    def stands_still(self) -> bool:
        """Whether every process of it is suspended by now."""
        pausing = self.rig.console.pausing
        assert isinstance(pausing, Pausing)
        group = pausing._child.cgroup
        if group is not None:
            return b"frozen 1" in group.read("cgroup.events")
        # One that waits for its child in vfork(2) cannot be stopped before that is.
        return {"T"} <= self.states() <= {"T", "D"}

    def states(self) -> set[str]:
        """What /proc says that its processes do."""
        found = set()
        for process in procfs.living():
            marks = procfs.environment(process.pid)
            if marks.get(b"RUNWIRE_INSTANCE") == INSTANCE.encode():
                text = procfs.read_file(process.pid, "stat") or b") ?"
                found.add(text.rpartition(b") ")[2][:1].decode())
        return found


@asynccontextmanager
async def going(executor: LocalExecutor, directory: Path, spec: RunSpec) -> AsyncIterator[Going]:
    outcomes: list[Outcome] = []

    async def carry_out() -> None:
        outcomes.append(await executor.execute(rig.run, rig.console))

    with trio.fail_after(60), open_console(directory, a_run(spec)) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry_out)
            yield Going(rig, outcomes)


def shell(line: str, **more: object) -> RunSpec:
    return msgspec.structs.replace(RunSpec(argv=("/bin/sh", "-c", line), cwd="/"), **more)


async def quiet(it: Going) -> int:
    """The size of the log, when all processes stand still and it grows no more."""
    await wait_until(it.stands_still)
    size = -1
    while size != it.rig.log.size:
        size = it.rig.log.size
        await trio.sleep(0.3)
    return size


async def pause_at_once(it: Going) -> None:
    """Before its program has done anything."""
    while it.rig.console.pausing is None:
        await trio.lowlevel.checkpoint()
    it.rig.console.pausing.pause()


@pytest.mark.parametrize("executor", RUNGS, indirect=True)
async def test_all_of_a_tree_is_suspended_and_goes_on(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    async with going(executor, tmp_path, shell(BUSY)) as it:
        await it.rig.wait_output(b"there")
        await it.rig.wait_output(b"here")
        pausing = it.rig.console.pausing
        assert pausing is not None
        means = pausing.pause()
        assert means is (
            PauseMeans.FREEZER if executor.tracking is Tracking.CGROUP else PauseMeans.SIGNAL
        )
        size = await quiet(it)
        pausing.resume()
        await wait_until(lambda: it.rig.log.size > size + 100)
        it.rig.stop.ask(FORCE)
    [outcome] = it.outcomes
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.survivors) == ("KILL", ())


@pytest.mark.parametrize("executor", RUNGS, indirect=True)
async def test_what_has_ended_while_it_was_paused_is_not_resumed(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """As long as its end is not recorded, somebody may ask for it."""
    async with going(executor, tmp_path, shell(BUSY)) as it:
        await it.rig.wait_output(b"here")
        pausing = it.rig.console.pausing
        assert pausing is not None
        pausing.pause()
        it.rig.stop.ask(FORCE)
    assert it.outcomes
    with pytest.raises(RunEnded):
        pausing.resume()


@pytest.mark.parametrize("executor", RUNGS, indirect=True)
async def test_a_paused_tree_can_be_killed(executor: LocalExecutor, tmp_path: Path) -> None:
    async with going(executor, tmp_path, shell(BUSY)) as it:
        await it.rig.wait_output(b"there")
        assert it.rig.console.pausing is not None
        it.rig.console.pausing.pause()
        await quiet(it)
        it.rig.stop.ask(FORCE)
    [outcome] = it.outcomes
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.survivors, it.states()) == ("KILL", (), set())
    assert sum(isinstance(event, Signalled) for event in it.rig.recorder.events) == 1


@pytest.mark.parametrize("executor", RUNGS, indirect=True)
async def test_the_silence_of_a_pause_does_not_count(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """What was silent before it does."""
    spec = shell("sleep 60", no_output_timeout_s=1.0)
    async with going(executor, tmp_path, spec) as it:
        await pause_at_once(it)
        await trio.sleep(1.5)
        assert it.rig.stop.request is None
        assert it.rig.console.pausing is not None
        it.rig.console.pausing.resume()
    [outcome] = it.outcomes
    assert isinstance(outcome, Exited)
    assert outcome.stopped is StopCause.NO_OUTPUT_TIMEOUT


@pytest.mark.parametrize("executor", RUNGS, indirect=True)
async def test_the_time_limit_counts_on_and_ends_a_pause(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    async with going(executor, tmp_path, shell("sleep 60", timeout_s=1.0)) as it:
        await pause_at_once(it)
    [outcome] = it.outcomes
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("TERM", StopCause.TIMEOUT)


@needs_cgroups
@pytest.mark.parametrize("executor", [Tracking.CGROUP], indirect=True)
async def test_what_is_left_of_a_paused_run_is_killed(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """The next start ends it as any other run of a server that fell."""
    async with going(executor, tmp_path, shell(BUSY)) as it:
        await it.rig.wait_output(b"there")
        assert it.rig.console.pausing is not None
        it.rig.console.pausing.pause()
        await quiet(it)
        lost = await executor.reattach(it.rig.run, it.rig.console)
        assert isinstance(lost, Lost)
        assert len(lost.killed) >= 2
    assert it.states() == set()
