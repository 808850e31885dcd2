"""Which process of a silent run may be keeping what it wrote.

Programs that print by the C library or by Python write a terminal line by line, and keep what goes
to a pipe until some KiB have come together (setvbuf(3)). What is in such a buffer nobody outside
can see; that there may be one is told by the program, and by what its stdout is.
"""

from __future__ import annotations

from pathlib import Path

from supervisor.model import ProcessRef
from supervisor.processes import procfs

_MOST = 64
"""How many processes are looked at."""
_MAPS_BYTES = 1 << 20
_UNBUFFERED = frozenset(
    [
        "ash",
        "bash",
        "busybox",
        "bun",
        "cat",
        "dash",
        "dd",
        "deno",
        "fish",
        "java",
        "ksh",
        "mksh",
        "node",
        "rsync",
        "sh",
        "sleep",
        "ssh",
        "tee",
        "timeout",
        "zsh",
    ]
)
"""Those that write at once whatever they write to, or do not print."""


def suspect(leader: ProcessRef) -> str | None:
    """The process, of the leader and its descendants, that may be keeping output, and a remedy.

    None if there is none that is likely to. Blocks, for about as long as `ps` does: for a thread.
    """
    root = procfs.read_stat(leader.pid)
    if root is None or root.start_ticks != leader.start_ticks:
        return None
    try:
        found = procfs.descendants([root])[:_MOST]
    except OSError:
        return None
    hints = (_hint(process.pid) for process in found)
    return next((hint for hint in hints if hint is not None), None)


def _hint(pid: int) -> str | None:
    try:
        if not Path(f"/proc/{pid}/fd/1").readlink().name.startswith("pipe:"):
            return None
        name = Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return None  # gone, or another user's
    if name.startswith(("python", "pypy")):
        if _python_writes_at_once(pid):
            return None
        remedy = "set PYTHONUNBUFFERED=1 for it, or start it with -u"
    elif name in _UNBUFFERED or not _uses_libc(pid):
        return None
    else:
        remedy = 'give the run a terminal with output = "pty"'
    return (
        f"{name} (pid {pid}) may be keeping what it wrote, as most programs do on a pipe: {remedy}"
    )


def _python_writes_at_once(pid: int) -> bool:
    """Whether it was told to, by its environment or by an option before its program."""
    if procfs.environment(pid).get(b"PYTHONUNBUFFERED"):
        return True
    arguments = iter((procfs.read_file(pid, "cmdline") or b"").split(b"\0")[1:])
    for argument in arguments:
        if argument in (b"-W", b"-X"):
            next(arguments, None)
            continue
        if not argument.startswith(b"-") or argument.startswith((b"--", b"-c", b"-m")):
            return False
        if b"u" in argument and not argument.startswith((b"-W", b"-X")):
            return True
    return False


def _uses_libc(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:  # noqa: PTH123 - as cheap as it can be
            maps = file.read(_MAPS_BYTES)
    except OSError:
        return False
    return b"/libc.so" in maps or b"/libc-" in maps or b"/ld-musl" in maps
