"""Who still has a pipe or a terminal open (proc_pid_fd(5)): what holds a run's output, by name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from supervisor.outcome import NamedProcess
from supervisor.processes import procfs
from supervisor.processes.procfs import ProcessStat

_COMMAND_LIMIT = 200


def name_of(fd: int) -> str:
    """What /proc calls the file behind one of our descriptors, such as `pipe:[4711]`."""
    return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - it is no path


def holders(processes: Iterable[ProcessStat], files: Collection[str]) -> tuple[NamedProcess, ...]:
    """Those of `processes` that have one of `files` (see `name_of`) open.

    Raises OSError without a descriptor to look.
    """
    return tuple(named(process) for process in processes if _holds(process, files))


def named(process: ProcessStat) -> NamedProcess:
    """The process with its command line, or its short name if it has none."""
    words = (procfs.read_file(process.pid, "cmdline") or b"").rstrip(b"\0").split(b"\0")
    line = b" ".join(words).decode("utf-8", "replace") or process.command
    cut = line if len(line) <= _COMMAND_LIMIT else f"{line[:_COMMAND_LIMIT]}…"
    return NamedProcess(process.pid, cut)


def _holds(process: ProcessStat, files: Collection[str]) -> bool:
    directory = f"/proc/{process.pid}/fd"
    try:
        found = any(
            os.readlink(f"{directory}/{fd}") in files  # noqa: PTH115 - see name_of
            for fd in os.listdir(directory)  # noqa: PTH208 - names do
        )
    except OSError as exc:
        procfs.raise_if_out_of_descriptors(exc)
        return False  # it is gone, or does not show it to us
    now = procfs.read_stat(process.pid) if found else None
    return now is not None and now.start_ticks == process.start_ticks
