"""Limits of control groups: switched on where they can be had, and else told why not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.conditions import RunLimits
from supervisor.errors import BadValue
from supervisor.processes.cgroup import Cgroups, machine_lacks, open_cgroups
from supervisor.processes.controllers import (
    SHARED_LIMITS,
    check_shared,
    lacking,
    set_limits,
    shared_limits,
    switch_on,
)

ALL = RunLimits(memory=2**26, cpu=0.5, pids=20, io_weight=50)


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    found = open_cgroups(f"controllers-test-{os.getpid()}")
    if isinstance(found, str):
        pytest.skip(f"no control group can be made here: {found}")
    yield found
    found.tidy()


def test_what_is_switched_on_can_be_set(cgroups: Cgroups) -> None:
    troubles = switch_on(cgroups.path)
    if set(troubles) == set(SHARED_LIMITS):
        pytest.skip("; ".join(troubles.values()))
    group = cgroups.make("a")
    wanted = {name: getattr(ALL, name) for name in SHARED_LIMITS if name not in troubles}
    set_limits(group.path, RunLimits(**wanted))
    read = {
        "memory": ("memory.max", "67108864\n"),
        "cpu": ("cpu.max", "50000 100000\n"),
        "pids": ("pids.max", "20\n"),
        "io_weight": ("io.weight", "default 50\n"),
    }
    for name in wanted:
        file, text = read[name]
        assert (group.path / file).read_text() == text
    if "memory" in wanted:
        assert (group.path / "memory.oom.group").read_text() == "1\n"


def test_each_limit_that_cannot_be_had_is_told_why(cgroups: Cgroups) -> None:
    """And is refused for its field; what can be had is not among them."""
    troubles = switch_on(cgroups.path)
    group = cgroups.make("a")
    for name in SHARED_LIMITS:
        wanted = RunLimits(**{name: getattr(ALL, name)})
        if name in troubles:
            with pytest.raises(BadValue, match=r"cannot be had here: .+") as refused:
                check_shared(wanted, troubles)
            assert refused.value.field == f"limits.{name}"
        else:
            check_shared(wanted, troubles)
            set_limits(group.path, wanted)
    check_shared(RunLimits(nofile=20), dict.fromkeys(SHARED_LIMITS, "nothing"))


def test_a_group_that_has_no_controllers_lacks_them_all(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset hugetlb\n")
    assert set(lacking(tmp_path)) == set(SHARED_LIMITS)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert lacking(tmp_path) == {}
    assert "no memory controller" in lacking(tmp_path / "gone")["memory"]


def test_what_the_machine_lacks_no_group_of_it_has(cgroups: Cgroups) -> None:
    assert set(machine_lacks()) <= set(switch_on(cgroups.path))


def test_which_limits_are_shared() -> None:
    assert shared_limits(ALL) == list(SHARED_LIMITS)
    assert shared_limits(RunLimits(nofile=20, cpu_time_s=1)) == []
