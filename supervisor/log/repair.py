"""Makes good what somebody else did to logs: cut them, removed them or their index, or left them to
another run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from supervisor.errors import StorageUnavailable
from supervisor.log.logfile import LogReader, index_path, log_path
from supervisor.log.logwriter import LogWriter


def needs_mending(reader: LogReader, size: int) -> bool:
    """Whether a log is shorter than `size`, or gone, or has lost its index. Raises StorageUnavailable."""
    return reader.size < size or reader.index_lost


def mend(directory: Path, run_id: str, size: int) -> None:
    """Have a log tell truthfully what of its `size` bytes is not there, as far as can be known.

    Else its end would look like the end of what the run wrote, and what was given back like zeros
    that the run wrote. Raises StorageUnavailable.
    """
    log = LogWriter.create(directory, run_id)
    try:
        if log.size < size:
            log.skip(size - log.size)
        log.sync()
    finally:
        log.close()


def set_aside(directory: Path, run_id: str) -> None:
    """Before a run begins: what there is under its name is not its own, and is kept beside it.

    The journal does not know whose it was; it may be older than the logs. Raises
    StorageUnavailable.
    """
    try:
        if log_path(directory, run_id).stat().st_size:
            for path in (log_path(directory, run_id), index_path(directory, run_id)):
                with suppress(FileNotFoundError):
                    path.replace(path.with_name(path.name + ".foreign"))
    except FileNotFoundError:
        return
    except OSError as exc:
        raise StorageUnavailable(
            f"the log of another run {run_id} cannot be set aside: {exc}"
        ) from exc
