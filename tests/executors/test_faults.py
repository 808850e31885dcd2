"""What a machine may do to a run, and the server with it: each run ends with a reason, and the next
one works."""

from __future__ import annotations

import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor import clock
from supervisor.executors.local import LocalExecutor
from supervisor.log.capture import keep_synced
from supervisor.model import Started, StopRequest, Tracking
from supervisor.outcome import Exited, NotStarted, Outcome, StopCause
from supervisor.processes import procfs
from supervisor.processes.cgroup import Cgroups, open_cgroups
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import Tracker, open_tracker
from supervisor.runlogs import sync_whole
from supervisor.spec import LogLimit, RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console
from supervisor.testing.rig import ConsoleRig
from supervisor.units import MIB

INSTANCE = f"faults-{os.getpid()}"
FORCE = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER, force=True)
PIDS_V1 = Path("/sys/fs/cgroup/pids")


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    """Afterwards no child of ours is left, living or dead, that was not there before."""
    others = procfs.children()
    made = Launcher()
    yield made
    made.close()
    assert procfs.children() - others == set()


@pytest.fixture
async def executor(launcher: Launcher) -> LocalExecutor:
    return LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5)


def shell(line: str, **more: object) -> RunSpec:
    return msgspec.structs.replace(RunSpec(argv=("/bin/sh", "-c", line), cwd="/"), **more)


async def carry_out(
    executor: LocalExecutor, directory: Path, spec: RunSpec, run_id: str = "run"
) -> tuple[Outcome, ConsoleRig]:
    with trio.fail_after(600), open_console(directory, a_run(spec, run_id)) as rig:
        return await executor.execute(rig.run, rig.console), rig


# --- no process can be made ------------------------------------------------------------------------


@contextmanager
def no_more_processes(pid: int) -> Iterator[None]:
    """fork(2) in that process fails with EAGAIN."""
    if os.geteuid() != 0:
        before = resource.prlimit(pid, resource.RLIMIT_NPROC, (0, resource.RLIM_INFINITY))
        yield
        resource.prlimit(pid, resource.RLIMIT_NPROC, before)
        return
    # The limit of processes does not bind root, a control group does.
    if not (PIDS_V1 / "cgroup.procs").exists():
        pytest.skip("nothing keeps root from making processes here")
    group = PIDS_V1 / f"runwire-test-{pid}"
    group.mkdir()
    (group / "pids.max").write_text("1")
    (group / "cgroup.procs").write_text(str(pid))
    yield
    (PIDS_V1 / "cgroup.procs").write_text(str(pid))
    group.rmdir()


async def test_without_room_for_a_process_a_run_does_not_start_and_says_why(
    executor: LocalExecutor, launcher: Launcher, tmp_path: Path
) -> None:
    await carry_out(executor, tmp_path, shell("true"), "before")
    [pid] = launcher.pids()
    with no_more_processes(pid):
        outcome, _rig = await carry_out(executor, tmp_path, shell("true"), "without")
    assert outcome == NotStarted(
        message="cannot create a process: Resource temporarily unavailable"
    )
    outcome, _rig = await carry_out(executor, tmp_path, shell("exit 3"), "after")
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, launcher.pids()) == (3, {pid})


# --- the control group goes away -------------------------------------------------------------------


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    found = open_cgroups(INSTANCE)
    if isinstance(found, str):
        pytest.skip(found)
    yield found
    found.tidy()


@pytest.mark.parametrize("force", [True, False])
async def test_a_run_whose_control_group_vanished_can_be_stopped(
    launcher: Launcher, cgroups: Cgroups, tmp_path: Path, force: bool
) -> None:
    """Somebody moved it out and removed the group: it is reached by its session even so."""
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=Tracker(cgroups))
    spec = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    outcomes: list[Outcome] = []

    async def carry() -> None:
        outcomes.append(await executor.execute(rig.run, rig.console))

    with trio.fail_after(300), open_console(tmp_path, a_run(spec)) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry)
            await rig.wait_output(b"ready")
            group = cgroups.find("run")
            assert group is not None
            while group.path.exists():
                for pid in group.pids():
                    with suppress(ProcessLookupError):  # a `sleep` that has just ended
                        (cgroups.path.parent / "cgroup.procs").write_text(str(pid))
                group.remove()
            policy = StopPolicy(grace_s=0.2)
            rig.stop.ask(StopRequest(StopCause.CANCEL, policy, TESTER, force))
    [outcome] = outcomes
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.survivors) == ("KILL", ())


async def test_without_the_directory_of_its_groups_the_next_run_makes_it_anew(
    launcher: Launcher, cgroups: Cgroups, tmp_path: Path
) -> None:
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5, tracker=Tracker(cgroups))
    cgroups.tidy()
    assert not cgroups.path.exists()
    outcome, rig = await carry_out(executor, tmp_path, shell("exit 3"))
    assert isinstance(outcome, Exited)
    assert outcome.exit_code == 3
    [started] = [event for event in rig.recorder.events if isinstance(event, Started)]
    assert started.tracking is Tracking.CGROUP


# --- time ------------------------------------------------------------------------------------------


async def test_a_clock_set_back_an_hour_changes_no_limit(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Back(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(hours=1)

    outcomes: list[Outcome] = []
    spec = shell("trap '' TERM; while :; do sleep 0.05; done", timeout_s=2.0)
    spec = msgspec.structs.replace(spec, stop=StopPolicy(grace_s=0.3))
    with trio.fail_after(300), open_console(tmp_path, a_run(spec)) as rig:

        async def carry() -> None:
            outcomes.append(await executor.execute(rig.run, rig.console))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry)
            await rig.wait_event(Started)
            monkeypatch.setattr(clock, "datetime", Back)
    [outcome] = outcomes
    assert isinstance(outcome, Exited)
    assert (outcome.signal, outcome.stopped) == ("KILL", StopCause.TIMEOUT)
    receipt = rig.run.stop
    assert receipt is not None
    assert rig.run.started_at is not None
    assert receipt.requested_at < rig.run.started_at
    assert receipt.steps[0].took_s is not None
    assert 0.3 <= receipt.steps[0].took_s < 60


# --- programs of every kind ------------------------------------------------------------------------


async def test_who_ends_at_once_is_seen_from_start_to_end(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    for number in range(100):
        outcome, rig = await carry_out(
            executor, tmp_path, RunSpec(argv=("/bin/true",), cwd="/"), f"run-{number}"
        )
        assert isinstance(outcome, Exited)
        assert (outcome.exit_code, outcome.output_complete, outcome.killed) == (0, True, ())
        assert [type(event) for event in rig.recorder.events] == [Started]


async def test_who_writes_without_end_takes_no_more_disk_than_it_may(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    size = 400 * MIB
    spec = shell(f"head -c {size} /dev/zero; printf end", log_limit=LogLimit(2 * MIB))
    with trio.fail_after(600), open_console(tmp_path, a_run(spec)) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_synced, [rig.log], 0.1)
            outcome = await executor.execute(rig.run, rig.console)
            nursery.cancel_scope.cancel()
        await sync_whole(rig.log)
    assert isinstance(outcome, Exited)
    assert (outcome.exit_code, outcome.output_complete) == (0, True)
    assert rig.log.size == size + len("end")
    on_disk = (tmp_path / "run.log").stat().st_blocks * 512
    assert on_disk <= 4 * MIB


async def test_300_runs_at_once_end_each_with_its_own_code(
    launcher: Launcher, tmp_path: Path
) -> None:
    """All are there at the same time, on the best means that this machine has."""
    count = 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 16 * count:
        pytest.skip(f"no more than {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tracker, _why = open_tracker(None, INSTANCE, own=launcher.pids)
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=5, tracker=tracker)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    outcomes: dict[int, Outcome] = {}
    started = trio.Semaphore(0)

    async def carry(number: int) -> None:
        line = f"echo {number}; exec <{gate}; exit {number % 256}"
        with open_console(tmp_path, a_run(shell(line), f"run-{number}")) as rig:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell_start, rig)
                outcomes[number] = await executor.execute(rig.run, rig.console)
            assert rig.output() == f"{number}\n".encode()

    async def tell_start(rig: ConsoleRig) -> None:
        await rig.wait_output(b"\n")
        started.release()

    try:
        with trio.fail_after(600):
            async with trio.open_nursery() as nursery:
                for number in range(count):
                    nursery.start_soon(carry, number)
                for _ in range(count):
                    await started.acquire()
                assert outcomes == {}
                os.close(await trio.to_thread.run_sync(os.open, gate, os.O_WRONLY))
    finally:
        tracker.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number, outcome in outcomes.items():
        assert isinstance(outcome, Exited)
        assert (outcome.exit_code, outcome.output_complete) == (number % 256, True)
    assert len(outcomes) == count


async def test_what_is_no_text_arrives_as_it_is(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In arguments, in the environment that is inherited, and in what is written."""
    monkeypatch.setenv("NO_TEXT", "\udcff\udc80")
    executor = LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5)
    spec = RunSpec(argv=("/bin/sh", "-c", 'printf "%s %s" "$1" "$NO_TEXT"', "x", "\udcfe"), cwd="/")
    outcome, rig = await carry_out(executor, tmp_path, spec)
    assert isinstance(outcome, Exited)
    assert outcome.exit_code == 0
    assert rig.output() == b"\xfe \xff\x80"
