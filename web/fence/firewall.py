"""What goes wrong in one connection stays in it, and takes one line of the log."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator
from pathlib import PurePath

log = logging.getLogger("runwire.web")


@contextlib.contextmanager
def firewall(where: str) -> Iterator[None]:
    """Log an exception raised inside, in one line, and go on. Cancellation passes through."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - this is the wall
        _tell(where, error)
    except BaseExceptionGroup as group:
        errors, rest = group.split(Exception)
        if errors is not None:
            _tell(where, errors)
        if rest is not None:
            raise rest from None


def _tell(where: str, error: BaseException) -> None:
    log.error("%s: %s", where, "; ".join(describe(leaf) for leaf in leaves(error)))
    log.debug("%s", where, exc_info=error)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, however deep; a single one is itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def describe(error: BaseException) -> str:
    """An exception in one line, with the place it was raised: `ValueError('x') at io.py:12`."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return repr(error)
    return f"{error!r} at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}"
