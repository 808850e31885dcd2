"""Control groups: made, found again, emptied in one step, and tidied up."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.processes.cgroup import Cgroups, open_cgroups


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    found = open_cgroups(f"cgroup-test-{os.getpid()}")
    if isinstance(found, str):
        pytest.skip(f"no control group can be made here: {found}")
    yield found
    found.tidy()
    assert not found.path.exists()


def test_members_and_those_below_are_known_and_killed(cgroups: Cgroups) -> None:
    group = cgroups.make("a")
    below = group.path / "deep" / "er"
    below.mkdir(parents=True)
    with subprocess.Popen(["sleep", "600"]) as one, subprocess.Popen(["sleep", "600"]) as two:
        assert not group.populated()
        (group.path / "cgroup.procs").write_text(str(one.pid))
        (below / "cgroup.procs").write_text(str(two.pid))
        assert sorted(group.pids()) == sorted([one.pid, two.pid])
        assert group.populated()
        group.remove()
        assert below.exists()
        group.kill()
        assert (one.wait(), two.wait()) == (-9, -9)
    assert group.pids() == []
    group.remove()
    assert not group.path.exists()


def test_a_group_that_is_gone_holds_nobody(cgroups: Cgroups) -> None:
    """Somebody else tidied up: nothing of that is an error."""
    group = cgroups.make("a")
    group.path.rmdir()
    assert group.pids() == []
    assert not group.populated()
    group.kill()
    group.remove()
    cgroups.path.rmdir()
    assert cgroups.make("b").path.is_dir()


def test_what_is_left_of_a_run_is_found_again(cgroups: Cgroups) -> None:
    assert cgroups.find("cgroup.procs") is None
    assert cgroups.find("a") is None
    made = cgroups.make("a")
    found = cgroups.find("a")
    assert found is not None
    assert found.path == made.path
    assert cgroups.make("a").path == made.path


def test_the_group_is_opened_as_a_directory(cgroups: Cgroups) -> None:
    directory = cgroups.make("a").open()
    try:
        assert os.stat("cgroup.procs", dir_fd=directory).st_nlink == 1
        assert not os.get_inheritable(directory)
    finally:
        os.close(directory)


def test_a_group_that_no_process_can_be_put_into_is_none(
    cgroups: Cgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a directory was handed over, and moving processes was not."""
    real = Path.write_text

    def write_text(path: Path, text: str, encoding: str | None = None) -> int:
        if path.name == "cgroup.procs":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", write_text)
    why = open_cgroups(f"cgroup-test-{os.getpid()}-closed")
    assert isinstance(why, str)
    assert "no process can be put into a group of" in why
    assert "Permission denied" in why
    assert not list(cgroups.path.parent.glob("*-closed"))
