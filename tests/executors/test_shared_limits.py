"""Limits for all processes of a run together, with real ones that run into them."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import trio

from supervisor.conditions import RunLimits
from supervisor.errors import BadValue
from supervisor.executors.local import LocalExecutor
from supervisor.lifecycle import judge
from supervisor.model import Failed, Reason, Succeeded, Tracking
from supervisor.outcome import Exited, NotStarted, Outcome, OutOfMemory
from supervisor.processes.cgroup import open_cgroups
from supervisor.processes.controllers import shared_limits, switch_on
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import NO_GROUPS, Tracker, open_tracker
from supervisor.spec import RunSpec
from supervisor.testing import a_run, open_console
from supervisor.units import MIB

PYTHON = (sys.executable, "-I", "-S", "-c")
INSTANCE = f"shared-limits-{os.getpid()}"


@pytest.fixture(scope="module")
def troubles() -> Mapping[str, str]:
    """Why runs cannot have some limits here, by the limit."""
    groups = open_cgroups(f"probe-{os.getpid()}")
    if isinstance(groups, str):
        return NO_GROUPS
    try:
        return switch_on(groups.path)
    finally:
        groups.tidy()


@pytest.fixture
def limits(request: pytest.FixtureRequest, troubles: Mapping[str, str]) -> RunLimits:
    """Those of the test, which is skipped if they cannot be had here."""
    wanted: RunLimits = request.param
    for name in shared_limits(wanted):
        if name in troubles:
            pytest.skip(troubles[name])
    return wanted


def under(**limits: float) -> pytest.MarkDecorator:
    """Asks for the fixture `limits`."""
    wanted = RunLimits(**limits)  # type: ignore[arg-type]
    return pytest.mark.parametrize("limits", [wanted], indirect=True, ids=["limits"])


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
async def executor(launcher: Launcher) -> AsyncIterator[LocalExecutor]:
    tracker, _why = open_tracker(None, INSTANCE, own=launcher.pids)
    yield LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
    tracker.close()


async def carry_out(
    executor: LocalExecutor, directory: Path, code: str, limits: RunLimits
) -> tuple[Outcome, str]:
    """How a Python program ended, and what it printed."""
    spec = RunSpec(argv=(*PYTHON, code), cwd="/", limits=limits)
    await executor.check(spec)
    with trio.fail_after(60), open_console(directory, a_run(spec)) as rig:
        outcome = await executor.execute(rig.run, rig.console)
        return outcome, rig.output().decode().strip()


@under(memory=64 * MIB)
async def test_a_run_that_wants_more_memory_is_killed_and_says_so(
    executor: LocalExecutor, tmp_path: Path, limits: RunLimits
) -> None:
    outcome, _ = await carry_out(executor, tmp_path, "x = b'x' * (200 << 20)", limits)
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.out_of_memory) == ("KILL", OutOfMemory.LIMIT)
    judged = judge(outcome)
    assert isinstance(judged, Failed)
    assert judged.reason is Reason.MEMORY_LIMIT
    assert judged.message == "killed at its memory limit; ended by SIGKILL"


@under(memory=64 * MIB)
async def test_it_ends_as_a_whole_if_a_child_of_it_wants_more(
    executor: LocalExecutor, tmp_path: Path, limits: RunLimits
) -> None:
    """No program goes on with half of its processes."""
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', \"x = b'x' * (200 << 20)\"])\n"
        "time.sleep(600)"
    )
    outcome, _ = await carry_out(executor, tmp_path, code, limits)
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.out_of_memory) == ("KILL", OutOfMemory.LIMIT)


@under(memory=64 * MIB)
async def test_a_run_within_its_memory_is_none_the_worse_for_it(
    executor: LocalExecutor, tmp_path: Path, limits: RunLimits
) -> None:
    outcome, said = await carry_out(executor, tmp_path, "print('fine')", limits)
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.out_of_memory, said) == (0, None, "fine")
    assert isinstance(judge(outcome), Succeeded)


@under(pids=8)
async def test_a_run_that_wants_more_processes_is_told(
    executor: LocalExecutor, tmp_path: Path, limits: RunLimits
) -> None:
    code = (
        "import os, signal\n"
        "made = []\n"
        "try:\n"
        "    while len(made) < 50:\n"
        "        pid = os.fork()\n"
        "        if not pid: signal.pause()\n"
        "        made.append(pid)\n"
        "except BlockingIOError: print(len(made))\n"
        "for pid in made: os.kill(pid, 9)"
    )
    outcome, said = await carry_out(executor, tmp_path, code, limits)
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, said) == (0, "7")


@under(cpu=0.2)
async def test_a_run_gets_so_much_of_the_processors(
    executor: LocalExecutor, tmp_path: Path, limits: RunLimits
) -> None:
    """A fifth of one: who computes has to wait for most of the time, on however idle a machine."""
    code = (
        "import time\n"
        "own = open('/proc/self/cgroup').read().split('0::')[1].split()[0]\n"
        "mount = [m.split()[1] for m in open('/proc/mounts') if ' cgroup2 ' in m][0]\n"
        "print(open(mount + own + '/cpu.max').read().strip())\n"
        "began, computed = time.monotonic(), time.process_time()\n"
        "while time.process_time() - computed < 0.2: pass\n"
        "print(time.monotonic() - began)"
    )
    outcome, said = await carry_out(executor, tmp_path, code, limits)
    assert isinstance(outcome, Exited)
    limit, took_s = said.splitlines()
    assert limit == "20000 100000"
    assert float(took_s) > 2 * 0.2


@under(io_weight=50)
async def test_io_weight_is_set(executor: LocalExecutor, tmp_path: Path, limits: RunLimits) -> None:
    code = (
        "own = open('/proc/self/cgroup').read().split('0::')[1].split()[0]\n"
        "mount = [m.split()[1] for m in open('/proc/mounts') if ' cgroup2 ' in m][0]\n"
        "print(open(mount + own + '/io.weight').readline().strip())"
    )
    outcome, said = await carry_out(executor, tmp_path, code, limits)
    assert isinstance(outcome, Exited)
    assert said == "default 50"


@pytest.mark.parametrize("name", ["memory", "cpu", "pids", "io_weight"])
async def test_without_control_groups_such_a_limit_is_refused_and_never_left_out(
    launcher: Launcher, tmp_path: Path, name: str
) -> None:
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=Tracker())
    value = {"memory": 64 * MIB, "cpu": 1.0}.get(name, 10)
    wanted = RunLimits(**{name: value})  # type: ignore[arg-type]
    spec = RunSpec(argv=("true",), cwd="/", limits=wanted)
    with pytest.raises(BadValue, match="runs have no control groups") as refused:
        await executor.check(spec)
    assert refused.value.field == f"limits.{name}"
    with trio.fail_after(60), open_console(tmp_path, a_run(spec)) as rig:
        outcome = await executor.execute(rig.run, rig.console)
    assert isinstance(outcome, NotStarted)
    assert outcome.message == f"cannot set limits.{name} for it: it can have no control group"


async def test_a_limit_that_the_kernel_refuses_is_a_start_that_failed(
    launcher: Launcher, tmp_path: Path
) -> None:
    """As where a controller went away while the server ran."""
    tracker, why = open_tracker(None, INSTANCE, own=launcher.pids)
    try:
        if tracker.best is not Tracking.CGROUP:
            pytest.skip(why)
        executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
        # More than any kernel takes, and a file that is not there where it has no controller.
        spec = RunSpec(argv=("true",), cwd="/", limits=RunLimits(pids=2**40))
        with trio.fail_after(60), open_console(tmp_path, a_run(spec)) as rig:
            outcome = await executor.execute(rig.run, rig.console)
    finally:
        tracker.close()
    assert isinstance(outcome, NotStarted)
    assert outcome.message.startswith("cannot set limits.pids for it: pids.max: ")
