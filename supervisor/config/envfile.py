"""An `env_file`, from the disk to its variables."""

from __future__ import annotations

import os
import stat

from supervisor.errors import BadValue
from supervisor.jobs.envfile import read_env_file
from supervisor.units import KIB

_LARGEST = 1024 * KIB


def load_env_file(path: str) -> dict[str, str]:
    """The variables of a file. Raises OSError, and BadValue if it is no such file."""
    # A pipe would be waited for, and what else there is might have no end.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadValue("it is no regular file", field="env_file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(_LARGEST + 1)
    finally:
        os.close(fd)
    if len(content) > _LARGEST:
        raise BadValue(f"it has more than {_LARGEST // KIB} KiB", field="env_file")
    return read_env_file(content)
