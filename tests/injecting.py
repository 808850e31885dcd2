"""Makes system calls of a process that runs fail, on the files that one names: strace(1) does it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def failing(pid: int, calls: str, *files: Path) -> Iterator[None]:
    """These `calls`, as "splice,pwrite64", fail with EIO on these files, in all threads."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace here")
    which = [word for file in files for word in ("-P", str(file))]
    what = ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]
    command = ["strace", "-f", "-o", os.devnull, *which, *what, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        while "Requested path" in said:  # and what it stands for, where links lead there
            said = strace.stderr.readline()
        if "attached" not in said:
            pytest.skip(f"nobody may look into processes here: {said}")
        try:
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.stderr.read()
