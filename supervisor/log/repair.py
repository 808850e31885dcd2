"""Makes good what somebody else did to logs: cut them, removed them, or left them to another run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from supervisor.errors import StorageUnavailable
from supervisor.log.logfile import index_path, log_path
from supervisor.log.logwriter import LogWriter


def is_short(directory: Path, run_id: str, size: int) -> bool:
    """Whether a log is shorter than `size`, or gone. Raises StorageUnavailable."""
    path = log_path(directory, run_id)
    try:
        return path.stat().st_size < size
    except FileNotFoundError:
        return size > 0
    except OSError as exc:
        raise StorageUnavailable(f"{path.name} cannot be read: {exc.strerror}") from exc


def fill_up(directory: Path, run_id: str, size: int) -> None:
    """Have a log that is shorter than `size`, or gone, tell of the rest as not kept.

    Else its end would look like the end of what the run wrote. Raises StorageUnavailable.
    """
    log = LogWriter.create(directory, run_id)
    try:
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
