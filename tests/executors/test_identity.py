"""Runs as another user: who they are, what they may, and what they know of themselves."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from supervisor.conditions import Conditions, RunLimits, with_conditions
from supervisor.executors.local import LocalExecutor
from supervisor.outcome import Exited, NotStarted, Outcome
from supervisor.processes.launcher import Launcher
from supervisor.spec import OutputMode, RunSpec
from supervisor.testing import a_run, open_console

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may start runs as others")


@pytest.fixture
async def executor() -> AsyncIterator[LocalExecutor]:
    launcher = Launcher()
    yield LocalExecutor(launcher, instance=f"identity-{os.getpid()}", drain_s=0.5)
    launcher.close()


async def carry_out(
    executor: LocalExecutor,
    directory: Path,
    conditions: Conditions,
    line: str,
    **spec: Any,
) -> tuple[Outcome, list[str]]:
    """How a shell line ended under these conditions, and the lines that it wrote.

    `spec` is what else there is to be in its `RunSpec`.
    """
    wanted = RunSpec(**{"argv": ("/bin/sh", "-c", line), "cwd": "/", **spec})
    run = a_run(with_conditions(wanted, conditions))
    with trio.fail_after(60), open_console(directory, run) as rig:
        outcome = await executor.execute(rig.run, rig.console)
        return outcome, rig.output().decode().splitlines()


@as_root
async def test_a_run_is_that_user_for_good(executor: LocalExecutor, tmp_path: Path) -> None:
    """Real, effective, saved and file system ids, so that nothing leads back."""
    line = "grep -E '^(Uid|Gid|Groups|CapEff):' /proc/self/status"
    conditions = Conditions(user="nobody", supplementary_groups=("1",))
    outcome, lines = await carry_out(executor, tmp_path, conditions, line)
    assert isinstance(outcome, Exited)
    told = {name: values.split() for name, _, values in (text.partition(":") for text in lines)}
    assert told["Uid"] == [str(NOBODY.pw_uid)] * 4
    assert told["Gid"] == [str(NOBODY.pw_gid)] * 4
    assert set(map(int, told["Groups"])) == {*os.getgrouplist("nobody", NOBODY.pw_gid), 1}
    assert int(told["CapEff"][0], 16) == 0


@as_root
async def test_it_has_that_user_s_environment(executor: LocalExecutor, tmp_path: Path) -> None:
    """And not the home of the server's user; what the job says of it wins."""
    line = 'echo "$HOME $USER $LOGNAME $SHELL"'
    conditions = Conditions(user="nobody")
    _, lines = await carry_out(executor, tmp_path, conditions, line, env={"SHELL": "/bin/job"})
    assert lines == [f"{NOBODY.pw_dir} nobody nobody /bin/job"]


@as_root
async def test_it_can_have_another_group(executor: LocalExecutor, tmp_path: Path) -> None:
    group = grp.getgrgid(1).gr_name
    _, lines = await carry_out(
        executor, tmp_path, Conditions(user=f"nobody:{group}"), "id -un; id -gn"
    )
    assert lines == ["nobody", group]


@as_root
async def test_its_directory_has_to_be_open_to_that_user(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    """It is entered as that user: a job is no way around permissions."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    outcome, _ = await carry_out(
        executor, tmp_path, Conditions(user="nobody"), "true", cwd=str(closed)
    )
    assert isinstance(outcome, NotStarted)
    assert outcome.message.startswith(f'cannot enter the working directory "{closed}": Permission')


@as_root
@pytest.mark.parametrize("output", OutputMode)
async def test_it_can_open_what_it_writes_to(
    executor: LocalExecutor, tmp_path: Path, output: OutputMode
) -> None:
    """As programs do that are told to log to /dev/stdout; /dev/null stays whose it was."""
    line = "echo out > /dev/stdout && stat -c %U /dev/null"
    _, lines = await carry_out(executor, tmp_path, Conditions(user="nobody"), line, output=output)
    assert lines == ["out", "root"]


@as_root
async def test_limits_hold_for_it_too_and_it_cannot_raise_them(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    conditions = Conditions(user="nobody", limits=RunLimits(nofile=64), nice=-3, umask="0077")
    line = "ulimit -n; nice; umask; ulimit -n 100 2>/dev/null || echo refused"
    _, lines = await carry_out(executor, tmp_path, conditions, line)
    assert lines == ["64", "-3", "0077", "refused"]


@as_root
async def test_all_of_it_is_killed_in_the_end(executor: LocalExecutor, tmp_path: Path) -> None:
    outcome, _ = await carry_out(
        executor, tmp_path, Conditions(user="nobody"), "sleep 600 >/dev/null 2>&1 & exit 0"
    )
    assert isinstance(outcome, Exited)
    assert (len(outcome.killed), outcome.survivors) == (1, ())


async def test_a_user_who_is_gone_is_a_start_that_failed(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    outcome, _ = await carry_out(executor, tmp_path, Conditions(user="no-such-user"), "true")
    assert isinstance(outcome, NotStarted)
    assert outcome.message == 'cannot set user for it: there is no user "no-such-user" here'


async def test_one_s_own_user_needs_no_rights(executor: LocalExecutor, tmp_path: Path) -> None:
    conditions = Conditions(user=f"{os.geteuid()}:{os.getegid()}")
    outcome, lines = await carry_out(executor, tmp_path, conditions, "id -u")
    assert isinstance(outcome, Exited)
    assert lines == [str(os.geteuid())]
