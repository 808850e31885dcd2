"""What a fallen server left of its runs: all of it is killed that is surely theirs, nothing else."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.clock import boot_id, now
from supervisor.executors import leftovers
from supervisor.executors.leftovers import Leftovers, Sweep
from supervisor.lifecycle import advance
from supervisor.model import SYSTEM, Entry, ProcessRef, Run, Started
from supervisor.processes import procfs
from supervisor.testing import a_run, program, wait_until

INSTANCE = f"test-{os.getpid()}"
TEST = {"TEST_OF_LEFTOVERS": str(os.getpid()), "PATH": os.defpath}
# The one in between ends at once, so that its child belongs to nobody.
ORPHAN = """
import os, sys
if os.fork(): os._exit(0)
os.setsid()
os.write(1, b'%d\\n' % os.getpid())
os.read(0, 1)
os.execv('/bin/sh', ['sh', '-c', sys.argv[1]])
"""


@contextmanager
def orphan(script: str, marks: Mapping[str, str] | None = None) -> Iterator[ProcessRef]:
    """A shell as a fallen server would have left it: in its own session, and no child of ours.

    It has carried out `script` as far as `ready`. Yields who it is, or was.
    """
    if marks is None:
        marks = {"RUNWIRE_RUN_ID": "run", "RUNWIRE_INSTANCE": INSTANCE}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", ORPHAN, script.replace("ready", "echo ready")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**TEST, **marks},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin, process.stdout:
            ref = procfs.identify(int(process.stdout.readline()))
            process.stdin.close()
            assert process.stdout.readline() == b"ready\n"
            if script.endswith("ready"):  # then it is to be gone
                pidfd_wait(ref)
        yield ref
    finally:
        process.wait()
        for other in ours():
            procfs.send_signal(other, "KILL")


def pidfd_wait(ref: ProcessRef) -> None:
    try:
        pidfd = os.pidfd_open(ref.pid)
    except ProcessLookupError:
        return
    select.select([pidfd], [], [], 60)
    os.close(pidfd)


def ours() -> list[procfs.ProcessStat]:
    """Every living process that this test file made."""
    name, text = (part.encode() for part in next(iter(TEST.items())))
    return [it for it in procfs.living() if procfs.environment(it.pid).get(name) == text]


def running(ref: ProcessRef, run_id: str = "run") -> Run:
    """The run that began with that process."""
    run = a_run(program(), run_id)
    return advance(run, Entry(run_id, now(), SYSTEM, Started(ref)))


async def sweep(*runs: Run) -> list[Leftovers]:
    """What is found of each, all looked for at the same time."""
    one = Sweep(INSTANCE)
    found: dict[str, Leftovers] = {}

    async def end(run: Run) -> None:
        found[run.id] = await one.end_leftovers(run)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for run in runs:
                nursery.start_soon(end, run)
    return [found[run.id] for run in runs]


def left() -> int:
    """How many processes of this test file there are."""
    return len(ours())


NAP = f"60.{os.getpid()}"
SLEEP = f"sleep {NAP}"  # so that its sleepers are told from those of any other tests
IN_ITS_OWN = f"setsid {SLEEP}"
CLEARED = f"env -i {SLEEP}"


@pytest.mark.parametrize(
    "script",
    [
        f"ready; exec {SLEEP}",
        f"trap '' TERM; {SLEEP} & {SLEEP} & ready; wait",
        f"{IN_ITS_OWN} & {IN_ITS_OWN} & ready; wait",
        f"({IN_ITS_OWN} &) ; ready; exec {SLEEP}",
        f"{SLEEP} & ready",
        f"{IN_ITS_OWN} & ready",
        f"{SLEEP} & kill -STOP $!; ready; wait",
    ],
    ids=["plain", "ignores", "sessions", "double-fork", "orphan", "orphaned-session", "stopped"],
)
async def test_whatever_bears_the_marks_is_killed(script: str) -> None:
    """In whatever session it is, and whether or not the first process is still there."""
    with orphan(script) as first:
        await wait_settled(script)
        there = {process.pid for process in ours()}
        assert there
        (found,) = await sweep(running(first))
        assert set(found.killed) >= there
        assert found.unattributed == ()
        assert left() == 0


@pytest.mark.parametrize(
    "script",
    [
        f"{CLEARED} & ready; exec {SLEEP}",
        f"setsid {CLEARED} & ready; exec {SLEEP}",
        f"{CLEARED} & {SLEEP} & ready",
        f"setsid sh -c '{CLEARED} & wait' & ready",
    ],
    ids=["session", "parent", "session-of-a-marked-one", "parent-in-a-session"],
)
async def test_a_cleared_environment_hides_nobody_whose_family_is_known(script: str) -> None:
    with orphan(script) as first, trio.fail_after(60):
        await wait_settled(script)
        (hidden,) = cleared()
        (found,) = await sweep(running(first))
        assert hidden in found.killed
        assert found.unattributed == ()
        assert cleared() == set()
        assert left() == 0


async def test_a_first_process_that_has_cleared_its_environment_is_known_by_its_identity() -> None:
    with orphan(f"ready; exec {CLEARED}") as first, trio.fail_after(60):
        await wait_until(lambda: cleared() == {first.pid})
        assert await sweep(running(first)) == [Leftovers(killed=(first.pid,))]


def cleared() -> set[int]:
    """Who sleeps without any environment."""
    return {
        process.pid
        for process in procfs.living()
        if _arguments(process.pid) == f"sleep\0{NAP}\0" and not procfs.environment(process.pid)
    }


async def wait_settled(script: str) -> None:
    """Return once all sleepers of `script` sleep, or are suspended before that.

    Whoever is in the middle of an execve(2) has neither arguments nor environment to show.
    """
    with trio.fail_after(60):
        await wait_until(lambda: sum(map(_is_settled, procfs.living())) == script.count(SLEEP))


def _is_settled(process: procfs.ProcessStat) -> bool:
    if _arguments(process.pid) == f"sleep\0{NAP}\0":
        return True
    stat = procfs.read_file(process.pid, "stat") or b""
    return b") T " in stat and process in ours()


def _arguments(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""


async def test_who_may_be_somebody_elses_is_reported_and_left_alone() -> None:
    """A cleared environment, and the first process of its session is gone."""
    with orphan(f"{CLEARED} & ready") as first, trio.fail_after(60):
        await wait_until(lambda: len(cleared()) == 1)
        (process,) = procfs.living_in(first.pid)
        try:
            (found,) = await sweep(running(first))
            assert found == Leftovers(killed=(), unattributed=(process.pid,))
            assert procfs.read_stat(process.pid) == process
        finally:
            procfs.send_signal(process, "KILL")


async def test_a_session_that_only_has_the_same_number_is_left_alone() -> None:
    """The run's first process ended long ago, and its number was given to another one."""
    script = f"{SLEEP} & ready; wait"
    with orphan(script, marks={}) as other, trio.fail_after(60):
        await wait_settled(script)
        before = {process.pid for process in ours()}
        earlier = msgspec.structs.replace(other, start_ticks=other.start_ticks - 1000)
        (found,) = await sweep(running(earlier))
        assert found.killed == ()
        assert set(found.unattributed) == before
        later = msgspec.structs.replace(other, start_ticks=other.start_ticks + 1000)
        assert await sweep(running(later)) == [Leftovers()]
        assert {process.pid for process in ours()} == before


@pytest.mark.parametrize(
    "marks",
    [
        {"RUNWIRE_RUN_ID": "other", "RUNWIRE_INSTANCE": INSTANCE},
        {"RUNWIRE_RUN_ID": "run", "RUNWIRE_INSTANCE": "other"},
        {"RUNWIRE_RUN_ID": "run"},
    ],
    ids=["run", "instance", "none"],
)
async def test_marks_of_others_are_left_alone(marks: Mapping[str, str]) -> None:
    with orphan(f"ready; exec {SLEEP}", marks) as other:
        ended = msgspec.structs.replace(other, pid=2**22, start_ticks=1)
        assert await sweep(running(ended)) == [Leftovers()]
        assert procfs.read_stat(other.pid) is not None


async def test_a_run_of_the_state_directory_that_this_one_is_a_copy_of_is_left_alone() -> None:
    """Its first process is still there, and bears the other's marks."""
    marks = {"RUNWIRE_RUN_ID": "run", "RUNWIRE_INSTANCE": "original"}
    with orphan(f"ready; exec {SLEEP}", marks) as first:
        assert await sweep(running(first)) == [Leftovers(unattributed=(first.pid,))]
        assert procfs.read_stat(first.pid) is not None


async def test_nothing_is_left_of_another_boot() -> None:
    """Numbers and marks of then mean nothing now."""
    with orphan(f"ready; exec {SLEEP}") as first:
        assert await sweep(running(msgspec.structs.replace(first, boot_id="x"))) == [Leftovers()]
        assert procfs.read_stat(first.pid) is not None


async def test_our_own_children_are_not_left_over() -> None:
    """A server that a run has started bears its marks, and so may what it starts."""
    marks = {"RUNWIRE_RUN_ID": "run", "RUNWIRE_INSTANCE": INSTANCE}
    with orphan(f"ready; exec {SLEEP}") as first:
        child = subprocess.Popen(["sleep", "60"], env={**TEST, **marks})
        try:
            (found,) = await sweep(running(first))
            assert child.pid not in found.killed
            assert child.poll() is None
        finally:
            child.kill()
            child.wait()


SERVER = f"""
import os, sys, trio
sys.path.insert(0, {str(Path(procfs.__file__).parents[2])!r})
from supervisor.processes import procfs
from supervisor.clock import boot_id, now
from supervisor.executors import leftovers
from supervisor.executors.leftovers import Sweep
from supervisor.testing import a_run, program, wait_until
import msgspec
run = msgspec.structs.replace(a_run(program()), process=procfs.identify(os.getsid(0)))
print(trio.run(Sweep({INSTANCE!r}).end_leftovers, run).killed, flush=True)
"""


async def test_a_server_that_the_run_has_started_lives(tmp_path: Path) -> None:
    """It takes over the state directory that its own run came from."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    said = tmp_path / "said"
    sleeping = "until grep -q '^sleep' /proc/$!/cmdline; do :; done"
    with (
        orphan(f"{SLEEP} & {sleeping}; ready; {sys.executable} {script} > {said}; {SLEEP}"),
        trio.fail_after(60),
    ):
        await wait_until(lambda: said.exists() and said.read_text().endswith("\n"))
        assert len(said.read_text().split()) == 2  # the shell, and what it had in the background
        await wait_until(lambda: left() == 0)  # it has ended by itself


async def test_runs_swept_at_once_share_their_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = leftovers._look_at_all

    def counted() -> object:
        looks.append(1)
        return look()

    monkeypatch.setattr(leftovers, "_look_at_all", counted)
    gone = ProcessRef(pid=2**22, start_ticks=1, boot_id=boot_id())
    found = await sweep(*(running(gone, f"run-{number}") for number in range(50)))
    assert found == [Leftovers()] * 50
    assert len(looks) <= 4


async def test_a_look_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor nobody is found, which does not mean that nobody is there."""
    failures = [OSError(errno.EMFILE, "full")] * 2
    living = procfs.living

    def try_to_look() -> Iterator[procfs.ProcessStat]:
        if failures:
            raise failures.pop()
        return living()

    with orphan(f"ready; exec {SLEEP}") as first:
        monkeypatch.setattr(procfs, "living", try_to_look)
        (found,) = await sweep(running(first))
        assert found.killed
