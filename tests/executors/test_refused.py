"""What cannot be had is refused before anything is recorded, and told when the server starts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.conditions import RunLimits
from supervisor.errors import BadValue
from supervisor.executors.local import LocalExecutor
from supervisor.model import Status
from supervisor.processes.launcher import Launcher
from supervisor.runquery import RunQuery
from supervisor.spec import Job
from supervisor.testing import TESTER, open_rig, wait_for
from supervisor.testing.rig import Rig
from supervisor.wire import LimitsWish, SubmitRequest

JOBS = {
    "fine": Job(name="fine", shell="ulimit -n", cwd="/", limits=RunLimits(nofile=99)),
    "big": Job(name="big", shell="true", cwd="/", limits=RunLimits(memory=2**30)),
    "ghost": Job(name="ghost", shell="true", cwd="/", user="no-such-user"),
}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A supervisor whose runs have no control groups."""
    launcher = Launcher()
    executor = LocalExecutor(launcher, instance=f"refused-{os.getpid()}", drain_s=0.5)
    async with open_rig(tmp_path, executor, jobs=JOBS) as found:
        yield found
    launcher.close()


async def test_the_jobs_that_will_be_refused_are_known_at_the_start(rig: Rig) -> None:
    why = "runs have no control groups of their own"
    assert await rig.supervisor.refused() == [
        f"job big will be refused: limits.memory: cannot be had here: {why}",
        'job ghost will be refused: user: there is no user "no-such-user" here',
    ]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (SubmitRequest(job="big"), "limits.memory"),
        (SubmitRequest(job="ghost"), "user"),
        (SubmitRequest(command=("true",), limits=LimitsWish(pids=5)), "limits.pids"),
    ],
)
async def test_a_refused_submit_leaves_no_run(
    rig: Rig, request_: SubmitRequest, field: str
) -> None:
    with pytest.raises(BadValue) as refused:
        await rig.supervisor.submit(request_, TESTER)
    assert refused.value.field == field
    assert (await rig.supervisor.list_runs(RunQuery())).runs == ()


async def test_the_others_go_on(rig: Rig) -> None:
    with trio.fail_after(60):
        run, _new = await rig.supervisor.submit(SubmitRequest(job="fine"), TESTER)
        await wait_for(rig.supervisor, run.id, Status.SUCCEEDED)
    assert rig.output(run.id) == b"99\n"
