"""What /proc tells: who a process is, and that no signal ever reaches another one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.clock import boot_id
from supervisor.model import ProcessRef
from supervisor.processes import procfs
from supervisor.testing import wait_until

STEPS = Path(__file__).parents[1] / "programs" / "steps.py"


@contextmanager
def sleeping(*argv: str | Path, **options: object) -> Iterator[procfs.ProcessStat]:
    """A process that does nothing until it is killed."""
    process = subprocess.Popen([*argv] or ["sleep", "60"], **options)  # type: ignore[call-overload]
    try:
        # Popen returns in the middle of execve(2), when neither command line nor name is there.
        while not procfs.read_file(process.pid, "cmdline"):
            pass
        stat = procfs.read_stat(process.pid)
        assert stat is not None
        yield stat
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(*steps: str) -> Iterator[procfs.ProcessStat]:
    """A process in a session of its own that has taken `steps`, the last but one being "ready"."""
    marks = {"TEST_OF_PROCFS": str(os.getpid())}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(STEPS), *steps],
        start_new_session=True,
        stdout=subprocess.PIPE,
        env=marks,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        stat = procfs.read_stat(process.pid)
        assert stat is not None
        yield stat
    finally:
        for other in procfs.living():
            if procfs.environment(other.pid).items() >= encoded(marks).items():
                procfs.send_signal(other, "KILL")
        process.wait()
        process.stdout.close()


def encoded(env: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): text.encode() for name, text in env.items()}


def test_a_process_is_told_with_its_family() -> None:
    with sleeping(start_new_session=True) as it:
        assert it.parent == os.getpid()
        assert it.group == it.session == it.pid
        assert not it.zombie
        assert procfs.identify(it.pid) == ProcessRef(it.pid, it.start_ticks, boot_id())
    assert procfs.read_stat(it.pid) is None


def test_a_command_may_contain_anything(tmp_path: Path) -> None:
    """Also what looks like the rest of the line: proc_pid_stat(5)."""
    program = tmp_path / "x) Z 1 (\n2"
    shutil.copy("/bin/sleep", program)
    with sleeping(program, "60") as it:
        assert it.command == "x) Z 1 (\n2"
        assert it.parent == os.getpid()
        assert not it.zombie


def test_who_has_ended_is_not_living() -> None:
    """Not even before it was reaped."""
    with sleeping(start_new_session=True) as it:
        assert it.pid in {process.pid for process in procfs.living()}
        assert [process.pid for process in procfs.living_in(it.pid)] == [it.pid]
        assert procfs.send_signal(it, "KILL")
        os.waitid(os.P_PID, it.pid, os.WEXITED | os.WNOWAIT)
        zombie = procfs.read_stat(it.pid)
        assert zombie is not None
        assert zombie.zombie
        assert it.pid not in {process.pid for process in procfs.living()}
        assert list(procfs.living_in(it.pid)) == []


def test_a_session_and_a_group_are_found_by_their_number() -> None:
    """A member of the session may have a group of its own; who left both is no member."""
    steps = ("leave 60", "regroup 60", "escape 60", "write stdout ready\n", "wait 60")
    with running(*steps) as it:
        found = {process.pid: process for process in procfs.living_in(it.pid)}
        assert len(found) == 3
        assert {process.session for process in found.values()} == {it.pid}
        assert len({process.group for process in found.values()}) == 2


async def test_an_environment_is_read_as_it_is() -> None:
    env = {b"A": b"x=y", b"B\xff": b"\xfe", b"EMPTY": b""}
    with sleeping(env=env, executable="/bin/sleep") as it, trio.fail_after(60):
        await wait_until(lambda: procfs.environment(it.pid) != {})  # empty within execve(2)
        assert procfs.environment(it.pid) == env
    assert procfs.environment(it.pid) == {}


def test_no_signal_reaches_another_of_the_same_number() -> None:
    with sleeping() as it:
        other = msgspec.structs.replace(it, start_ticks=it.start_ticks - 1)
        assert not procfs.send_signal(other, "KILL")
        assert procfs.read_stat(it.pid) == it
        assert procfs.send_signal(it, "CONT")
    assert not procfs.send_signal(it, "KILL")


@pytest.mark.parametrize("signal", ["TERM", "IO", "RTMIN", "RTMIN+3", "RTMAX"])
def test_every_signal_has_its_number(signal: str) -> None:
    with sleeping() as it:
        assert procfs.send_signal(it, signal)
        os.waitid(os.P_PID, it.pid, os.WEXITED | os.WNOWAIT)


async def test_an_end_is_waited_for() -> None:
    with sleeping() as it, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            ended = trio.Event()

            async def wait() -> None:
                await procfs.wait_ended(it)
                ended.set()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert not ended.is_set()
            procfs.send_signal(it, "KILL")
            await ended.wait()
        await procfs.wait_ended(it)  # not reaped yet


async def test_nobody_waits_for_another_of_the_same_number() -> None:
    with sleeping() as it, trio.fail_after(60):
        await procfs.wait_ended(msgspec.structs.replace(it, start_ticks=it.start_ticks - 1))
    with trio.fail_after(60):
        await procfs.wait_ended(it)
