"""Every executor that there is, one after the other."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from supervisor.executors.local import LocalExecutor
from supervisor.processes import procfs
from supervisor.processes.launcher import Launcher
from supervisor.testing import FakeExecutor
from tests.contract.carrying import DRAIN_S, STEPS, TOKEN, Bench, marked
from tests.descriptors import none_is_left


@pytest.fixture(params=["local", "fake"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """The executor; afterwards no process of the local one may be left in this instance."""
    if request.param == "fake":
        yield Bench(FakeExecutor(drain_s=DRAIN_S), tmp_path, lambda steps: ("program", *steps))
        return
    launcher = Launcher()
    executor = LocalExecutor(launcher, instance=TOKEN, drain_s=DRAIN_S)
    yield Bench(executor, tmp_path, lambda steps: (sys.executable, "-I", "-S", str(STEPS), *steps))
    launcher.close()
    for process in marked():  # those that escaped on purpose
        procfs.send_signal(process, "KILL")
        await procfs.wait_ended(process)


@pytest.fixture(autouse=True)
def descriptors_are_closed() -> Iterator[None]:
    """Whatever a test does, no descriptor is left open behind it."""
    with none_is_left():
        yield
