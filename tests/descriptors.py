"""Descriptors of this process: which there are, and what happens when there are no more."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AS_MANY_AS_TESTS_TAKE = 512


@contextmanager
def none_is_left() -> Iterator[None]:
    """No descriptor is open afterwards that was not open before.

    Fewer may be: what earlier tests left to the garbage collector goes whenever that comes by.
    """
    before = _open()
    yield
    assert _open() - before == set()


def _open() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


@contextmanager
def free_descriptors(count: int) -> Iterator[None]:
    """So many can be opened, and no more: no garbage of an earlier test gives any back meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_AS_MANY_AS_TESTS_TAKE, hard))
    taken: list[int] = []
    gc.disable()
    try:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                break
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        gc.enable()
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
