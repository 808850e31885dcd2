"""A run's program finds exactly the conditions that its spec names, and all others as they were."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.conditions import Conditions, RunLimits, with_conditions
from supervisor.errors import BadValue
from supervisor.executors.local import LocalExecutor
from supervisor.jobs.conditions import io_priority
from supervisor.outcome import Exited, NotStarted, Outcome
from supervisor.processes.launcher import Launcher
from supervisor.spec import RunSpec
from supervisor.testing import a_run, open_console
from supervisor.units import MIB

PYTHON = (sys.executable, "-I", "-S", "-c")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise a priority")


@pytest.fixture
async def executor() -> AsyncIterator[LocalExecutor]:
    launcher = Launcher()
    yield LocalExecutor(launcher, instance=f"conditions-{os.getpid()}", drain_s=0.5)
    launcher.close()


async def carry_out(
    executor: LocalExecutor, directory: Path, argv: tuple[str, ...], conditions: Conditions
) -> tuple[Outcome, str]:
    """How a program ended under these conditions, and what it wrote."""
    spec = with_conditions(RunSpec(argv=argv, cwd="/"), conditions)
    await executor.check(spec)
    with trio.fail_after(120), open_console(directory, a_run(spec)) as rig:
        outcome = await executor.execute(rig.run, rig.console)
        return outcome, rig.output().decode()


async def told(executor: LocalExecutor, directory: Path, code: str, conditions: Conditions) -> str:
    """What a Python program prints under these conditions."""
    outcome, output = await carry_out(executor, directory, (*PYTHON, code), conditions)
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.signal) == (0, None), output
    return output.strip()


@pytest.mark.parametrize(
    ("name", "number", "value"),
    [
        ("nofile", resource.RLIMIT_NOFILE, 256),
        ("core", resource.RLIMIT_CORE, 0),
        ("stack", resource.RLIMIT_STACK, 4 * MIB),
        ("data", resource.RLIMIT_DATA, 512 * MIB),
    ],
)
async def test_a_limit_of_each_process_is_set_soft_and_hard(
    executor: LocalExecutor, tmp_path: Path, name: str, number: int, value: int
) -> None:
    code = f"import resource; print(resource.getrlimit({number}))"
    conditions = Conditions(limits=RunLimits(**{name: value}))
    assert await told(executor, tmp_path, code, conditions) == f"({value}, {value})"


async def test_no_limit_but_those_named_is_touched(executor: LocalExecutor, tmp_path: Path) -> None:
    outcome, limits = await carry_out(
        executor, tmp_path, ("cat", "/proc/self/limits"), Conditions(limits=RunLimits(nofile=77))
    )
    assert isinstance(outcome, Exited)
    own = Path("/proc/self/limits").read_text().splitlines()
    changed = [line for line in limits.splitlines() if line not in own]
    assert [line.split()[:5] for line in changed] == [["Max", "open", "files", "77", "77"]]


async def test_the_limit_on_open_files_holds(executor: LocalExecutor, tmp_path: Path) -> None:
    code = "import os\ntry:\n    while True: os.dup(1)\nexcept OSError as exc: print(exc.strerror)"
    conditions = Conditions(limits=RunLimits(nofile=20))
    assert await told(executor, tmp_path, code, conditions) == "Too many open files"


async def test_a_limit_too_low_to_load_a_program_is_no_silent_one(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """It is the program's own end then; nothing hangs, nothing is left."""
    conditions = Conditions(limits=RunLimits(data=0))
    outcome, _output = await carry_out(executor, tmp_path, (*PYTHON, "pass"), conditions)
    assert isinstance(outcome, Exited | NotStarted)
    assert not (isinstance(outcome, Exited) and outcome.exit_code == 0)


async def test_cpu_time_ends_a_program_that_computes(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    conditions = Conditions(limits=RunLimits(cpu_time_s=1))
    outcome, _output = await carry_out(
        executor, tmp_path, (*PYTHON, "while True: pass"), conditions
    )
    assert isinstance(outcome, Exited)
    assert outcome.signal == "XCPU"


async def test_cpu_time_kills_what_ignores_its_signal(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """Five seconds of computing after the signal."""
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_CPU))"
    conditions = Conditions(limits=RunLimits(cpu_time_s=3))
    assert await told(executor, tmp_path, code, conditions) == "(3, 8)"


async def test_nice_is_set(executor: LocalExecutor, tmp_path: Path) -> None:
    code = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
    assert await told(executor, tmp_path, code, Conditions(nice=7)) == "7"


@needs_root
async def test_root_raises_a_priority(executor: LocalExecutor, tmp_path: Path) -> None:
    code = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
    assert await told(executor, tmp_path, code, Conditions(nice=-5)) == "-5"


@pytest.mark.parametrize("ionice", ["idle", "best-effort", "best-effort:7"])
async def test_ionice_is_set(executor: LocalExecutor, tmp_path: Path, ionice: str) -> None:
    outcome, output = await carry_out(executor, tmp_path, ("ionice",), Conditions(ionice=ionice))
    assert isinstance(outcome, Exited)
    name, _, level = ionice.partition(":")
    assert output.strip() == (name if name == "idle" else f"{name}: prio {level or 4}")


async def test_umask_is_set(executor: LocalExecutor, tmp_path: Path) -> None:
    argv = ("/bin/sh", "-c", "umask")
    outcome, output = await carry_out(executor, tmp_path, argv, Conditions(umask="0027"))
    assert isinstance(outcome, Exited)
    assert output.strip() == "0027"


async def test_what_cannot_be_set_is_a_start_that_failed_and_says_what(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """Where it was not known before: never a run without its limit."""
    spec = RunSpec(argv=("true",), cwd="/", limits=RunLimits(nofile=2**31 - 1))
    with trio.fail_after(60), open_console(tmp_path, a_run(spec)) as rig:
        outcome = await executor.execute(rig.run, rig.console)
    assert isinstance(outcome, NotStarted)
    assert outcome.message.startswith("cannot set limits.nofile for it: Operation not permitted")


async def test_what_protects_the_server_from_the_kernel_is_not_for_runs(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """A server may be the last to go when memory runs out; what it runs may not."""
    own = Path("/proc/self/oom_score_adj")
    before = own.read_text()
    try:
        own.write_text("-200")
    except OSError as exc:
        pytest.skip(f"this process may not protect itself: {exc.strerror}")
    try:
        argv = ("cat", "/proc/self/oom_score_adj")
        outcome, output = await carry_out(executor, tmp_path, argv, Conditions())
    finally:
        own.write_text(before)
    assert isinstance(outcome, Exited)
    assert output.strip() == "0"


async def test_more_than_the_server_may_grant_is_refused_beforehand(
    executor: LocalExecutor,
) -> None:
    with pytest.raises(BadValue, match=r"must be at most \d+, ") as refused:
        await executor.check(Conditions(limits=RunLimits(nofile=2**31 - 1)))
    assert refused.value.field == "limits.nofile"


def test_io_priorities_are_the_kernels() -> None:
    assert io_priority("idle") == 3 << 13
    assert io_priority("best-effort") == 2 << 13 | 4
    assert io_priority("realtime:0") == 1 << 13
