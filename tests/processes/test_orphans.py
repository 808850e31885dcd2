"""Orphans: they come to this process, are attributed or not, and are reaped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

from supervisor.model import ProcessRef
from supervisor.processes import procfs
from supervisor.processes.launcher import Launcher, LaunchRequest
from supervisor.processes.orphans import Orphans
from supervisor.processes.procfs import ProcessStat

NAME = b"TEST_OF_ORPHANS"
MAKE_ORPHAN = """
import os, sys
if os.fork() == 0:
    os.setsid()
    os.execve(sys.executable, [sys.executable, "-ISc", "import time; time.sleep(600)"], {env})
"""


@pytest.fixture
def orphans() -> Iterator[Orphans]:
    """Afterwards no child is left that was not there before."""
    others = procfs.children()
    made = Orphans(lambda: others)
    yield made
    for pid in procfs.children() - others:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    made.close()


def orphan(env: Mapping[str, str]) -> ProcessStat:
    """A daemon with that environment, whose parent has ended."""
    before = procfs.children()
    subprocess.run(
        [sys.executable, "-ISc", MAKE_ORPHAN.replace("{env}", repr(dict(env)))], check=True
    )
    (pid,) = procfs.children() - before
    while b"\0import time; time.sleep(600)\0" not in (procfs.read_file(pid, "cmdline") or b""):
        pass
    stat = procfs.read_stat(pid)
    assert stat is not None
    return stat


def leader(ticks: int = 0) -> ProcessRef:
    """A run's first process; none with this number is there."""
    return ProcessRef(pid=2**22 + 1 + ticks, start_ticks=ticks, boot_id="")


def pids(found: Callable[[], list[ProcessStat]]) -> list[int]:
    return [process.pid for process in found()]


def test_marks_attribute_an_orphan(orphans: Orphans) -> None:
    with (
        orphans.watching(leader(1), {NAME: b"1"}),
        orphans.watching(leader(2), {NAME: b"2"}),
    ):
        one, two = orphan({NAME.decode(): "1"}), orphan({NAME.decode(): "2"})
        assert pids(lambda: orphans.left_by(leader(1))) == [one.pid]
        assert pids(lambda: orphans.left_by(leader(2))) == [two.pid]


def test_one_without_marks_is_the_only_run_s_that_was_there(orphans: Orphans) -> None:
    with orphans.watching(leader(1), {NAME: b"1"}):
        stray = orphan({})
        assert pids(lambda: orphans.left_by(leader(1))) == [stray.pid]
        with orphans.watching(leader(stray.start_ticks + 1), {NAME: b"2"}):
            assert pids(lambda: orphans.left_by(leader(1))) == [stray.pid]


def test_one_that_two_runs_may_have_left_is_nobody_s(orphans: Orphans) -> None:
    """Also when one of them has ended meanwhile."""
    with orphans.watching(leader(1), {NAME: b"1"}):
        with orphans.watching(leader(2), {NAME: b"2"}):
            stray = orphan({})
            assert orphans.left_by(leader(1)) == orphans.left_by(leader(2)) == []
            assert stray.pid in procfs.children()
        assert orphans.left_by(leader(1)) == []


def test_the_marks_of_another_server_s_run_are_no_reason_to_kill(orphans: Orphans) -> None:
    with orphans.watching(leader(1), {NAME: b"1"}):
        orphan({NAME.decode(): "of another"})
        assert orphans.left_by(leader(1)) == []


def test_those_that_have_ended_are_reaped_and_nobody_else(orphans: Orphans) -> None:
    others = procfs.children()
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as own:
        assert own.stdout is not None
        own.stdout.read()
        ref = ProcessRef(pid=own.pid, start_ticks=0, boot_id="")
        with orphans.watching(ref, {NAME: b"1"}):
            stray = orphan({})
            os.kill(stray.pid, 9)
            os.waitid(os.P_PID, stray.pid, os.WEXITED | os.WNOWAIT)
            assert stray.pid in procfs.children()
            orphans.reap()
            assert procfs.children() - others == {own.pid}


def test_a_run_that_has_ended_is_forgotten_when_nothing_of_it_lives(orphans: Orphans) -> None:
    """A daemon of the next run is then that one's, and not perhaps of both."""
    with orphans.watching(leader(1), {NAME: b"1"}):
        first = orphan({})
    os.kill(first.pid, 9)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    with orphans.watching(leader(2), {NAME: b"2"}):
        second = orphan({})
        assert pids(lambda: orphans.left_by(leader(2))) == [second.pid]


def test_what_may_be_of_several_is_told_of_each_of_them(orphans: Orphans) -> None:
    with orphans.watching(leader(1), {NAME: b"1"}):
        with orphans.watching(leader(2), {NAME: b"2"}):
            stray, _marked = orphan({}), orphan({NAME.decode(): "1"})
            for ref in (leader(1), leader(2)):
                found = [it.pid for it in orphans.perhaps_left_by(ref)]
                assert found == [stray.pid]
        with orphans.watching(leader(stray.start_ticks + 1), {NAME: b"3"}):
            assert orphans.perhaps_left_by(leader(stray.start_ticks + 1)) == []


async def test_what_waits_at_a_gate_is_no_orphan_of_the_run_beside_it(orphans: Orphans) -> None:
    """It was made, and this process has not heard of it yet."""
    launcher = Launcher()
    null = os.open(os.devnull, os.O_RDWR)
    with orphans.watching(leader(1), {NAME: b"1"}):
        others = procfs.children()
        request = LaunchRequest(argv=["/bin/true"], env={}, cwd="/")
        with await launcher.launch(request, (null, null, null)) as waiting:
            assert waiting.ref.pid in procfs.children() - others
            own = {process.pid for process in orphans.left_by(leader(1))}
            own |= {process.pid for process in orphans.perhaps_left_by(leader(1))}
            assert waiting.ref.pid not in own
            with orphans.watching(leader(2), {NAME: b"2"}):
                perhaps = {process.pid for process in orphans.perhaps_left_by(leader(1))}
                assert waiting.ref.pid not in perhaps
            waiting.close_gate()
            await waiting.wait_exited()
            waiting.reap()
    launcher.close()
    os.close(null)
