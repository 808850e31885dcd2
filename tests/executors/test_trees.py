"""A tree that does not want to end, killed by every means there is; what each of them misses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.clock import boot_id
from supervisor.executors.local import LocalExecutor
from supervisor.model import ProcessRef, Signalled, Started, StopRequest, Tracking
from supervisor.outcome import Exited, Lost, Outcome, StopCause
from supervisor.processes import procfs
from supervisor.processes.cgroup import Cgroups, open_cgroups
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import Tracker, open_tracker
from supervisor.spec import RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console, wait_until
from supervisor.testing.rig import ConsoleRig

NASTY = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "programs" / "nasty.py"))
SIZE = 28
INSTANCE = f"trees-{os.getpid()}"
CANCEL = StopRequest(StopCause.CANCEL, StopPolicy(grace_s=0.2), TESTER)
FORCE = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER, force=True)


def why_no_cgroups() -> str:
    """Empty if there can be control groups here."""
    found = open_cgroups(f"probe-{os.getpid()}")
    if isinstance(found, str):
        return found
    found.tidy()
    return ""


WHY_NOT = why_no_cgroups()
needs_cgroups = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
CGROUP = pytest.param(Tracking.CGROUP, marks=needs_cgroups)


def tagged(tag: str) -> list[procfs.ProcessStat]:
    """The living processes with `tag` as a word of their command line."""
    found = []
    for process in procfs.living():
        with suppress(OSError):
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            if tag.encode() in words:
                found.append(process)
    return found


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> Iterator[str]:
    """Names the processes of a test; afterwards none is left."""
    others = procfs.children()
    name = f"tag-{os.getpid()}-{request.node.name}"
    yield name
    while left := tagged(name):
        for process in left:
            procfs.send_signal(process, "KILL")
    for pid in procfs.children() - others:
        os.waitpid(pid, 0)


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
async def tracker(request: pytest.FixtureRequest, launcher: Launcher) -> AsyncIterator[Tracker]:
    wanted: Tracking = request.param
    found, _why = open_tracker(wanted, INSTANCE, own=launcher.pids)
    assert found.best is wanted
    yield found
    found.close()


async def stop_tree(
    executor: LocalExecutor, rig: ConsoleRig, request: StopRequest, tag: str, size: int
) -> Outcome:
    """Run the nasty program, ask for its end when all of it is there, and tell how it ended."""
    outcomes: list[Outcome] = []

    async def carry_out() -> None:
        outcomes.append(await executor.execute(rig.run, rig.console))

    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry_out)
            await wait_until(lambda: len(tagged(tag)) >= size)
            await wait_until(lambda: rig.output() == b"ready\n")
            rig.console.stop.ask(request)
    return outcomes[0]


@pytest.mark.parametrize("request_", [CANCEL, FORCE], ids=["cancel", "force"])
@pytest.mark.parametrize("tracker", [CGROUP, Tracking.SUBREAPER, Tracking.GROUP], indirect=True)
async def test_a_nasty_tree_is_gone_but_for_what_its_means_cannot_know(
    tracker: Tracker, launcher: Launcher, request_: StopRequest, tag: str, tmp_path: Path
) -> None:
    """By session and group alone, those three that left the session get away."""
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
    with open_console(tmp_path, a_run(RunSpec(argv=(*NASTY, tag), cwd="/"))) as rig:
        outcome = await stop_tree(executor, rig, request_, tag, SIZE)
        assert isinstance(outcome, Exited)
        assert (outcome.signal, outcome.survivors) == ("KILL", ())
        assert len(tagged(tag)) == (3 if tracker.best is Tracking.GROUP else 0)
        assert outcome.output_complete is (tracker.best is not Tracking.GROUP)
        started, *steps = [e for e in rig.recorder.events if isinstance(e, Started | Signalled)]
        assert isinstance(started, Started)
        assert started.tracking is tracker.best
        named = {pid for it in steps if isinstance(it, Signalled) for pid in it.step.pids}
        assert len(named) == SIZE - (3 if tracker.best is Tracking.GROUP else 0)


@needs_cgroups
@pytest.mark.parametrize("tracker", [Tracking.CGROUP], indirect=True)
async def test_one_that_forks_all_the_time_does_not_get_away(
    tracker: Tracker, launcher: Launcher, tag: str, tmp_path: Path
) -> None:
    """Nobody can be quick enough for it but the kernel."""
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
    with open_console(tmp_path, a_run(RunSpec(argv=(*NASTY, tag, "hop"), cwd="/"))) as rig:
        outcome = await stop_tree(executor, rig, FORCE, tag, SIZE)
        assert isinstance(outcome, Exited)
        assert (outcome.survivors, tagged(tag)) == ((), [])


@pytest.mark.parametrize("tracker", [CGROUP, Tracking.SUBREAPER], indirect=True)
async def test_each_of_two_runs_loses_its_own_processes_only(
    tracker: Tracker, launcher: Launcher, tag: str, tmp_path: Path
) -> None:
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
    other = f"{tag}-other"
    spec = RunSpec(argv=(*NASTY, other), cwd="/")
    with open_console(tmp_path, a_run(spec, "other")) as second:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(executor.execute, second.run, second.console)
            with trio.fail_after(300):
                await wait_until(lambda: len(tagged(other)) == SIZE)
            with open_console(tmp_path, a_run(RunSpec(argv=(*NASTY, tag), cwd="/"))) as first:
                outcome = await stop_tree(executor, first, FORCE, tag, SIZE)
            # One daemon without an environment may belong to either: only the kernel knows.
            assert len(tagged(tag)) == (0 if tracker.best is Tracking.CGROUP else 1)
            assert isinstance(outcome, Exited)
            assert {it.pid for it in outcome.unattributed} == {it.pid for it in tagged(tag)}
            assert all(tag in it.command for it in outcome.unattributed)
            assert len(tagged(other)) == SIZE
            second.console.stop.ask(FORCE)
        assert len(tagged(other)) == 0
    for process in tagged(tag):
        procfs.send_signal(process, "KILL")


@pytest.mark.parametrize("tracker", [CGROUP, Tracking.SUBREAPER], indirect=True)
async def test_what_a_run_leaves_behind_goes_with_its_end(
    tracker: Tracker, launcher: Launcher, tag: str, tmp_path: Path
) -> None:
    """A daemon of a program that ended by itself: killed, and named in the record."""
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
    daemon = f"setsid {sys.executable} -I -S -c 'import time; time.sleep(600)' '{tag}'"
    line = (
        f"{daemon} >/dev/null 2>&1 & until grep -qsF '{tag}' /proc/$!/cmdline; do :; done; exit 4"
    )
    spec = RunSpec(argv=("/bin/bash", "-c", line), cwd="/")
    with trio.fail_after(300), open_console(tmp_path, a_run(spec)) as rig:
        outcome = await executor.execute(rig.run, rig.console)
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.output_complete) == (4, True)
    assert len(outcome.killed) == 1
    assert tagged(tag) == []


@needs_cgroups
@pytest.mark.parametrize("tracker", [Tracking.CGROUP], indirect=True)
async def test_what_a_killed_server_left_in_a_control_group_is_killed(
    tracker: Tracker, launcher: Launcher, tmp_path: Path
) -> None:
    """Nothing else tells whose it is: another session, no environment, another parent."""
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=tracker)
    groups = open_cgroups(INSTANCE)
    assert isinstance(groups, Cgroups)
    group = groups.make("run")
    gone = ProcessRef(pid=2**22 + 7, start_ticks=1, boot_id=boot_id())
    run = msgspec.structs.replace(a_run(RunSpec(argv=("true",), cwd="/")), process=gone)
    with subprocess.Popen(["/bin/sleep", "600"], env={}, start_new_session=True) as escapee:
        (group.path / "cgroup.procs").write_text(str(escapee.pid))
        with trio.fail_after(300), open_console(tmp_path, run) as rig:
            outcome = await executor.reattach(run, rig.console)
        assert isinstance(outcome, Lost)
        assert outcome.killed == (escapee.pid,)
        assert escapee.wait() == -9
    assert not group.path.exists()
