"""Who has a file open: found by what /proc calls it, and named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from supervisor.outcome import NamedProcess
from supervisor.processes import procfs
from supervisor.processes.holders import holders, name_of
from supervisor.processes.procfs import ProcessStat


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@contextmanager
def sleeper(*fds: int, more: str = "") -> Iterator[ProcessStat]:
    """A process that has `fds` open."""
    command = ["sleep", "60", more] if more else ["sleep", "60"]
    with subprocess.Popen(command, pass_fds=fds) as process:
        try:
            # Popen returns in the middle of execve(2), when there is no command line yet.
            while not procfs.read_file(process.pid, "cmdline"):
                pass
            stat = procfs.read_stat(process.pid)
            assert stat is not None
            yield stat
        finally:
            process.kill()


def test_who_has_it_open_is_named_and_nobody_else() -> None:
    with (
        pipe() as (reader, writer),
        pipe() as (_, other),
        sleeper(writer) as holder,
        sleeper(other) as bystander,
    ):
        found = holders([holder, bystander], {name_of(reader)})
        assert found == (NamedProcess(holder.pid, "sleep 60"),)


@pytest.mark.parametrize("ending", ["gone", "another of the same number"])
def test_who_has_gone_is_not_named(ending: str) -> None:
    changes = {"start_ticks": 1} if ending != "gone" else {"pid": 2**22 + 1}
    with pipe() as (reader, writer), sleeper(writer) as holder:
        then = msgspec.structs.replace(holder, **changes)
        assert holders([then], {name_of(reader)}) == ()


def test_a_long_command_is_cut() -> None:
    with pipe() as (reader, writer), sleeper(writer, more="0" * 300) as holder:
        [found] = holders([holder], {name_of(reader)})
        assert (len(found.command), found.command[-1]) == (201, "…")
