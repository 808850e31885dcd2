"""What /proc tells about processes (proc(5)): who they are, whose they are, which run they bear.

Everything here is a look at something that may be gone a moment later, so a vanished process is
never an error, only absent. Signals go through pidfds (pidfd_open(2)) checked against the identity
seen, so that none ever reaches a process that merely got the same number.
"""

from __future__ import annotations

import errno
import os
import signal as signals
from collections.abc import Iterable, Iterator

import trio
from msgspec import Struct

from supervisor.clock import boot_id
from supervisor.model import ProcessRef
from supervisor.signals import signal_number

_RETRY_S = 0.05
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_STATE, _PPID, _PGRP, _SESSION, _START = 0, 1, 2, 3, 19
"""Positions in /proc/PID/stat counted after the command's closing parenthesis."""


class ProcessStat(Struct, frozen=True):
    """One process as /proc/PID/stat shows it. `zombie` means ended and not yet reaped."""

    pid: int
    command: str
    zombie: bool
    parent: int
    group: int
    session: int
    start_ticks: int


def read_stat(pid: int) -> ProcessStat | None:
    """The process, or None if there is none. Raises OSError without a descriptor to look."""
    text = read_file(pid, "stat")
    if text is None:
        return None
    # The command may itself contain spaces and parentheses; the last one closes it.
    start, end = text.index(b"("), text.rindex(b")")
    fields = text[end + 2 :].split()
    return ProcessStat(
        pid=pid,
        command=text[start + 1 : end].decode("utf-8", "replace"),
        zombie=fields[_STATE] in b"ZX",
        parent=int(fields[_PPID]),
        group=int(fields[_PGRP]),
        session=int(fields[_SESSION]),
        start_ticks=int(fields[_START]),
    )


def identify(pid: int) -> ProcessRef:
    """The identity of a child of ours that has not been reaped, so it is surely there."""
    stat = read_stat(pid)
    assert stat is not None  # noqa: S101 - see above
    return ProcessRef(pid=pid, start_ticks=stat.start_ticks, boot_id=boot_id())


def living() -> Iterator[ProcessStat]:
    """Every process that has not ended. Raises OSError without a descriptor to look."""
    for pid in _pids():
        stat = read_stat(pid)
        if stat is not None and not stat.zombie:
            yield stat


def living_in(leader: int) -> Iterator[ProcessStat]:
    """As `living`, but only the session that has the number `leader`, and so its groups too.

    Much faster: to ask the kernel for a number takes a hundredth of reading /proc/PID/stat.
    """
    getsid = os.getsid
    for pid in _pids():
        try:
            if getsid(pid) != leader:
                continue
        except OSError:
            continue
        stat = read_stat(pid)
        if stat is not None and not stat.zombie and stat.session == leader:
            yield stat


def children() -> set[int]:
    """The pids of this process's children, zombies too. Raises OSError without a descriptor.

    A kernel without CONFIG_PROC_CHILDREN makes it a look at every process.
    """
    found: set[int] = set()
    me = os.getpid()
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - names do
        listed = read_file(me, f"task/{thread}/children")
        if listed is None and thread == str(me):
            stats = map(read_stat, _pids())
            return {stat.pid for stat in stats if stat is not None and stat.parent == me}
        found.update(map(int, (listed or b"").split()))
    return found


def descendants(roots: Iterable[ProcessStat]) -> list[ProcessStat]:
    """The living among `roots` and all that descend from them. Raises OSError as `living`."""
    everybody = list(living())
    own = {process.pid for process in roots}
    found = own
    while found:
        found = {it.pid for it in everybody if it.parent in found} - own
        own |= found
    return [it for it in everybody if it.pid in own]


def environment(pid: int) -> dict[bytes, bytes]:
    """The environment it was executed with; empty if it cannot be read or is gone."""
    block = read_file(pid, "environ") or b""
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


async def wait_ended(process: ProcessStat) -> None:
    """Return when that process has ended, reaped or not."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError as exc:
        # Out of descriptors: nothing can be awaited, and whoever asks looks again.
        await trio.sleep(0 if exc.errno == errno.ESRCH else _RETRY_S)
        return
    try:
        now = read_stat(process.pid)
        if now is not None and now.start_ticks == process.start_ticks:
            await trio.lowlevel.wait_readable(pidfd)
        else:
            await trio.lowlevel.checkpoint()
    finally:
        os.close(pidfd)


def send_signal(process: ProcessStat, signal: str) -> bool:
    """Send `signal` (such as `TERM`) to exactly that process. False if it is gone or not ours."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = read_stat(process.pid)
        if now is None or now.start_ticks != process.start_ticks:
            return False
        signals.pidfd_send_signal(pidfd, signal_number(signal))
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names do


def raise_if_out_of_descriptors(exc: OSError) -> None:
    """Raise `exc` if it says that there is no descriptor to look, and nothing about a process."""
    if exc.errno in _OUT_OF_DESCRIPTORS:
        raise exc


def read_file(pid: int, name: str) -> bytes | None:
    """The whole file, or None if the process is gone or does not show it to us."""
    try:
        # Not by pathlib: it takes twice as long, and this is done for every process there is.
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise_if_out_of_descriptors(exc)
        return None
    try:
        content = b""
        while part := os.read(fd, 1 << 16):
            content += part
    except OSError:
        return None
    finally:
        os.close(fd)
    return content
