"""The pipes of many chatty runs keep to what an ordinary user may have in pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.base import ROOT

NOBODY = 65534
# Whoever may have as many as they like would prove nothing, so it becomes somebody else first.
PROGRAM = f"""
import fcntl, os, resource
from supervisor.log.pacing import PIPE_BYTES, PipeBudget
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
pipes = [os.pipe() for _ in range(100)]
budget = PipeBudget()
enlarged = sum(budget.enlarge(ours) for ours, _theirs in pipes)
fresh = [os.pipe() for _ in range(100)]
sizes = {{fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ) for ours, _theirs in fresh}}
print(enlarged * PIPE_BYTES, *sorted(sizes))
"""


def test_of_a_hundred_runs_some_have_large_pipes_and_new_ones_the_usual() -> None:
    """Past the kernel's bound for a user, every new pipe would be tiny (pipe(7))."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    enlarged, *sizes = map(int, done.stdout.split())
    pages = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text())
    assert 0 < enlarged <= pages * os.sysconf("SC_PAGE_SIZE") // 2
    assert sizes == [65536]
