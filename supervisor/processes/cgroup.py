"""A control group for each run (cgroups(7), version 2): who is in it, and the end of all of them.

Whatever a process of the run starts is in the group too; no setsid(2), no double fork and no
cleared environment gets it out. `cgroup.kill` (Linux 5.14) ends all members in one step, those
that are just being made included. No controller is needed for that.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from supervisor.conditions import RunLimits
from supervisor.outcome import OutOfMemory
from supervisor.processes.controllers import LEAF, SHARED_LIMITS, lacking, set_limits
from supervisor.units import KIB

_log = logging.getLogger("runwire.processes")

_KILL = "cgroup.kill"
_FREEZE = "cgroup.freeze"
_MEMBERS = "cgroup.procs"
_FILE_BYTES = 64 * KIB
"""Longer than any that is read."""
_OCTAL = re.compile(r"\\([0-7]{3})")


class RunCgroup:
    """The group of one run. Everything may fail with OSError, but for what says otherwise."""

    def __init__(self, path: Path) -> None:
        """The directory has to be there."""
        self.path = path
        self._directory = str(path)

    def open(self) -> int:
        """A descriptor of the directory, by which a process can be made in it (clone3(2))."""
        return os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def pids(self) -> list[int]:
        """Every living process in it and in the groups that the run may have made below it."""
        found: list[int] = []
        for group in _groups(self.path):
            with suppress(FileNotFoundError):
                found += map(int, (group / _MEMBERS).read_text("ascii").split())
        return found

    def populated(self) -> bool:
        """Whether any process lives in it or below. One that is gone holds nobody."""
        try:
            return b"populated 1" in self.read("cgroup.events")
        except FileNotFoundError:
            return False

    def read(self, name: str) -> bytes:
        """One of the kernel's files in it."""
        # Not by pathlib, which takes several times as long: each run has some read.
        fd = os.open(f"{self._directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _FILE_BYTES)
        finally:
            os.close(fd)

    def kill(self) -> None:
        """SIGKILL for everybody in it and below, at once."""
        with suppress(FileNotFoundError):
            (self.path / _KILL).write_text("1", "ascii")

    def limit(self, limits: RunLimits) -> None:
        """Set the limits that are for all of them together."""
        set_limits(self.path, limits)

    def out_of_memory(self) -> OutOfMemory | None:
        """Whether the kernel killed a process of it for want of memory, and whose limit that was."""
        try:
            text = self.read("memory.events").decode("ascii")
        except OSError:  # no controller, or no group any more
            return None
        counts = {name: int(count) for name, count in map(str.split, text.splitlines())}
        if not counts.get("oom_kill"):
            return None
        return OutOfMemory.LIMIT if counts.get("oom") else OutOfMemory.MACHINE

    def freeze(self, *, on: bool) -> None:
        """Suspend all in it and below, or let them go on; it takes a moment. KILL ends them even so."""
        (self.path / _FREEZE).write_text(str(int(on)), "ascii")

    def frozen(self) -> bool:
        """Whether it was asked to be suspended."""
        with suppress(OSError):
            return (self.path / _FREEZE).read_text("ascii").strip() == "1"
        return False

    def remove(self) -> None:
        """Remove it, if nobody is left in it. Never raises: the next start tries again."""
        with suppress(OSError):
            os.rmdir(self._directory)  # noqa: PTH106 - see `read`
            return
        # Gone, or the run has made groups below it.
        for group in reversed(list(_groups(self.path))):
            try:
                group.rmdir()
            except OSError as exc:
                if exc.errno != errno.ENOENT:
                    _log.debug("%s stays: %s", group, exc.strerror)


class Cgroups(Struct, frozen=True):
    """Where this server's runs have their groups: one directory that is this server's own."""

    path: Path

    def make(self, run_id: str) -> RunCgroup:
        """A group for a run; one that is left of it from before is used again. Raises OSError."""
        group = self.path / _file_name(run_id)
        try:
            group.mkdir(exist_ok=True)
        except FileNotFoundError:  # Somebody tidied up.
            self.path.mkdir(exist_ok=True)
            group.mkdir(exist_ok=True)
        return RunCgroup(group)

    def find(self, run_id: str) -> RunCgroup | None:
        """What an earlier server left of a run's group, if anything."""
        group = self.path / _file_name(run_id)
        return RunCgroup(group) if group.is_dir() else None

    def tidy(self) -> None:
        """Remove the groups in which nobody is, and with the last of them their directory."""
        with suppress(OSError):
            for group in self.path.iterdir():
                if group.is_dir():
                    RunCgroup(group).remove()
            self.path.rmdir()


def open_cgroups(instance: str) -> Cgroups | str:
    """Where runs of this state directory can have groups; or, in words, why they cannot.

    It is below the group in which this process is: that is the part of the tree that a service
    manager gives to a service (systemd's `Delegate=`), and root may use it anyway.
    """
    try:
        mounted = _mounted()
        if mounted is None:
            return "no cgroup v2 file system is mounted"
        own = _own_group()
        if own is None:
            return "this process is in no cgroup v2"
        groups = Cgroups(_base(mounted / own) / f"runwire-{instance}")
        groups.path.mkdir(exist_ok=True)
    except OSError as exc:
        return f"no group can be made in {exc.filename}: {exc.strerror}"
    if not (groups.path / _KILL).exists():
        groups.tidy()
        return f"this kernel has no {_KILL} (Linux 5.14)"
    try:
        _try_out(groups)
    except OSError as exc:
        groups.tidy()
        return f"no process can be put into a group of {groups.path}: {exc.strerror}"
    return groups


def machine_lacks() -> dict[str, str]:
    """Why no group of this machine can have some limits, by the limit; none may still have others."""
    with suppress(OSError):
        mounted = _mounted()
        if mounted is not None:
            return lacking(mounted)
    return dict.fromkeys(SHARED_LIMITS, "no cgroup v2 file system is mounted")


def _base(own: Path) -> Path:
    """Not below the group in which a server has put itself: that has processes (`LEAF`)."""
    beside = own.name == LEAF and os.access(own.parent / _MEMBERS, os.W_OK)
    return own.parent if beside else own


def _try_out(groups: Cgroups) -> None:
    """Put a process into a group and kill it there: a directory of one's own is not yet the right.

    Raises OSError.
    """
    group = RunCgroup(groups.path / "try-out")  # as no run's is called
    group.path.mkdir(exist_ok=True)
    with subprocess.Popen(["/bin/sh", "-c", "read _"], stdin=subprocess.PIPE) as process:
        try:
            (group.path / _MEMBERS).write_text(str(process.pid), "ascii")
            group.kill()
        finally:
            process.kill()
            process.wait()
            group.remove()


def _groups(path: Path) -> Iterator[Path]:
    """A group, then those below it, parents first."""
    yield path
    with suppress(OSError):
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                yield from _groups(Path(entry.path))


def _mounted() -> Path | None:
    """Where version 2 is mounted whole (proc_pid_mountinfo(5)); on hybrid machines beside version 1."""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        mount, _, source = line.partition(" - ")
        if source.startswith("cgroup2 "):
            fields = mount.split()
            if fields[3] == "/":
                return Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]))
    return None


def _own_group() -> str | None:
    """The path of this process's group below the mount (cgroups(7), /proc/PID/cgroup)."""
    for line in Path("/proc/self/cgroup").read_text("utf-8", "surrogateescape").splitlines():
        if line.startswith("0::/"):
            path = line.removeprefix("0::/")
            # Outside of what this cgroup namespace shows.
            return None if path.startswith("../") else path
    return None


def _file_name(run_id: str) -> str:
    """No run's group is taken for one of the kernel's files."""
    return f"run-{run_id}"
