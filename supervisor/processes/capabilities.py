"""What this process is allowed beyond an ordinary one (capabilities(7))."""

from __future__ import annotations

import functools
from pathlib import Path

CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_ADMIN = 21
CAP_SYS_NICE = 23
CAP_SYS_RESOURCE = 24


@functools.cache
def has_capability(number: int) -> bool:
    """Whether it is in effect for this process, which never changes its own."""
    for line in Path("/proc/self/status").read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> number & 1)
    return False
