"""A run's figures, taken from files such as the kernel has."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from supervisor.outcome import Meter, Usage
from supervisor.processes.accounting import measure
from supervisor.processes.cgroup import RunCgroup
from supervisor.units import KIB, MIB


@pytest.fixture(scope="module")
def rusage() -> resource.struct_rusage:
    """That of a process which has ended."""
    child = subprocess.Popen(["/bin/true"])
    _pid, _status, rusage = os.wait4(child.pid, 0)
    child.returncode = 0
    return rusage


@pytest.fixture
def group(tmp_path: Path) -> RunCgroup:
    """A group with all controllers, as Linux 6.1 shows it."""
    (tmp_path / "cpu.stat").write_text(
        "usage_usec 3500000\nuser_usec 3000000\nsystem_usec 500000\nnr_periods 0\n"
    )
    (tmp_path / "memory.peak").write_text("12345678\n")
    (tmp_path / "pids.peak").write_text("28\n")
    return RunCgroup(tmp_path)


def test_all_is_taken_from_a_group_that_has_all(
    rusage: resource.struct_rusage, group: RunCgroup
) -> None:
    assert measure(rusage, group, 8 * MIB) == Usage(
        user_s=3.0,
        system_s=0.5,
        cpu_by=Meter.CGROUP,
        peak_memory=12345678,
        memory_by=Meter.CGROUP,
        peak_processes=28,
    )


def test_what_the_group_has_not_is_measured_otherwise_or_left_out(
    rusage: resource.struct_rusage, group: RunCgroup
) -> None:
    (group.path / "memory.peak").unlink()
    (group.path / "pids.peak").unlink()
    largest = rusage.ru_maxrss * KIB
    usage = measure(rusage, group, largest - 2 * MIB)
    assert usage == Usage(3.0, 0.5, Meter.CGROUP, largest, Meter.RUSAGE)
    without = Usage(3.0, 0.5, Meter.CGROUP)
    assert measure(rusage, group, largest) == without
    assert measure(rusage, group, None) == without


def test_of_a_process_that_somebody_else_has_reaped_the_group_tells_all_there_is(
    group: RunCgroup,
) -> None:
    assert measure(None, group, 8 * MIB) == Usage(
        3.0, 0.5, Meter.CGROUP, 12345678, Meter.CGROUP, peak_processes=28
    )
    assert measure(None, None, 8 * MIB) is None


def test_without_a_group_it_is_what_was_waited_for(
    rusage: resource.struct_rusage, tmp_path: Path
) -> None:
    """Also where somebody took the group away."""
    own = Usage(rusage.ru_utime, rusage.ru_stime)
    assert measure(rusage, None, rusage.ru_maxrss * KIB) == own
    assert measure(rusage, RunCgroup(tmp_path / "gone"), rusage.ru_maxrss * KIB) == own
