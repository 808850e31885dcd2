"""A run's processes: who belongs to it, and that signals reach all of them and nobody else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from supervisor.processes import procfs
from supervisor.processes.tree import Leader

STEPS = Path(__file__).parents[1] / "programs" / "steps.py"


@pytest.fixture
def escapees() -> Iterator[Callable[[], list[procfs.ProcessStat]]]:
    """Those that left every tree of this test; they are killed after it."""
    marks = {b"TEST_OF_TREE": str(os.getpid()).encode()}

    def find() -> list[procfs.ProcessStat]:
        return [
            process
            for process in procfs.living()
            if procfs.environment(process.pid).items() >= marks.items()
        ]

    yield find
    for process in find():
        procfs.send_signal(process, "KILL")


@contextmanager
def tree(*steps: str) -> Iterator[Leader]:
    """A program in a session of its own that has taken `steps`."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(STEPS), *steps, "write stdout ready\n", "wait 60"],
        start_new_session=True,
        stdout=subprocess.PIPE,
        env={"TEST_OF_TREE": str(os.getpid())},
    )
    assert process.stdout is not None
    pidfd = os.pidfd_open(process.pid)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield Leader(procfs.identify(process.pid), pidfd)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(pidfd)


@pytest.fixture(params=["pidfd", "number"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the group is signalled: through a pidfd, or as before Linux 6.9."""
    if request.param == "number":
        send = signal.pidfd_send_signal

        def old(pidfd: int, number: int, info: None = None, flags: int = 0) -> None:
            if flags:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            send(pidfd, number, info, flags)

        monkeypatch.setattr(signal, "pidfd_send_signal", old)
    return str(request.param)


async def test_a_signal_reaches_the_whole_tree_and_nobody_else(
    way: str, escapees: Callable[[], list[procfs.ProcessStat]]
) -> None:
    with tree("leave 60", "leave 60", "regroup 60", "escape 60") as it, tree("leave 60") as other:
        assert it.anyone_left()
        step = it.send_signal("TERM")
        assert len(step.pids) == 4
        assert it.ref.pid in step.pids
        assert (step.signal, step.target, step.result) == ("TERM", f"group {it.ref.pid}", "sent")
        with trio.fail_after(60):
            await it.wait_gone()
        assert not it.anyone_left()
        assert len(other.members()) == 2
        assert len(escapees()) == 3


async def test_nobody_left_is_told(way: str) -> None:
    """The first process is not reaped here, but it has ended: no process is there."""
    with tree() as it, trio.fail_after(60):
        it.send_signal("KILL")
        await it.wait_gone()
        assert it.members() == []
        assert it.send_signal("TERM").pids == ()


async def test_who_stays_is_waited_for() -> None:
    with tree("ignore TERM") as it, trio.fail_after(60):
        it.send_signal("TERM")
        with trio.move_on_after(0.1) as patience:
            await it.wait_gone()
        assert patience.cancelled_caught
        assert len(it.members()) == 1


async def test_a_suspended_tree_can_be_woken(way: str) -> None:
    with tree() as it, trio.fail_after(60):
        it.send_signal("STOP")
        it.send_signal("TERM")
        assert len(it.members()) == 1
        it.wake()
        await it.wait_gone()


@pytest.mark.parametrize("name", ["RTMIN+2", "IO", "USR1"])
async def test_any_signal_can_be_sent(name: str) -> None:
    with tree() as it, trio.fail_after(60):
        assert it.send_signal(name).result == "sent"
        await it.wait_gone()


async def test_without_a_descriptor_the_group_is_reached_even_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can be named then, and nobody is said to be gone."""
    with tree("leave 60") as it, trio.fail_after(60):
        with monkeypatch.context() as patch:
            patch.setattr(os, "listdir", full)
            assert it.anyone_left()
            step = it.send_signal("KILL")
            assert (step.pids, step.result) == ((), "sent")
            with trio.move_on_after(0.1) as patience:
                await it.wait_gone()
            assert patience.cancelled_caught
        await it.wait_gone()
        assert not it.anyone_left()


def full(_path: str) -> list[str]:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
