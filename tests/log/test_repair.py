"""A log that somebody cut or removed tells what is missing; nothing of it is taken for whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.errors import StorageUnavailable
from supervisor.log.logfile import Chunk, Gap, GapReason, LogReader, index_path, log_path
from supervisor.log.logwriter import LogWriter
from supervisor.log.repair import mend, needs_mending, set_aside
from supervisor.model import Stream

WRITTEN = b"one\ntwo\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    log = LogWriter.create(tmp_path, "r")
    log.append(WRITTEN, Stream.STDOUT)
    log.close()
    return tmp_path


def is_to_be_mended(logs: Path, size: int) -> bool:
    with LogReader.open(logs, "r") as reader:
        return needs_mending(reader, size)


def told(logs: Path) -> tuple[bytes, list[Gap]]:
    """The bytes that can be read of the log, and what it says is missing."""
    data, gaps, at = b"", [], 0
    with LogReader.open(logs, "r") as reader:
        while at < reader.size:
            for piece in reader.read(at, 100):
                at = piece.next
                if isinstance(piece, Chunk):
                    data += piece.data
                else:
                    gaps.append(piece)
    return data, gaps


@pytest.mark.parametrize("left", range(len(WRITTEN)))
def test_what_was_cut_off_is_told_as_not_kept(logs: Path, left: int) -> None:
    with log_path(logs, "r").open("r+b") as file:
        file.truncate(left)
    assert is_to_be_mended(logs, len(WRITTEN))
    mend(logs, "r", len(WRITTEN))
    gap = Gap(left, len(WRITTEN), GapReason.NOT_KEPT)
    assert told(logs) == (WRITTEN[:left], [gap])
    assert not is_to_be_mended(logs, len(WRITTEN))


def test_a_log_that_is_gone_is_told_as_not_kept(logs: Path) -> None:
    log_path(logs, "r").unlink()
    index_path(logs, "r").unlink()
    assert is_to_be_mended(logs, len(WRITTEN))
    mend(logs, "r", len(WRITTEN))
    assert told(logs) == (b"", [Gap(0, len(WRITTEN), GapReason.NOT_KEPT)])


def test_a_whole_log_is_left_alone(logs: Path) -> None:
    assert not is_to_be_mended(logs, len(WRITTEN))


def test_a_run_that_wrote_nothing_needs_no_log(tmp_path: Path) -> None:
    assert not is_to_be_mended(tmp_path, 0)


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        mend(tmp_path / "nowhere", "r", 1)


def test_a_run_does_not_begin_with_the_log_of_another(logs: Path) -> None:
    """As where an older journal was put in place, and a client asks for the same id again."""
    set_aside(logs, "r")
    LogWriter.create(logs, "r").close()
    assert told(logs) == (b"", [])
    assert (logs / "r.log.foreign").read_bytes() == WRITTEN
    set_aside(logs, "r")
    assert (logs / "r.log.foreign").read_bytes() == WRITTEN


@pytest.mark.parametrize("written_s", [0, -5])
def test_a_clock_that_began_at_1970_makes_no_zeros_of_what_was_given_back(
    logs: Path, written_s: int
) -> None:
    """A record of that time would be a damaged one."""
    with log_path(logs, "r").open("r+b") as file:
        file.truncate(300_000)
    index_path(logs, "r").unlink()
    os.utime(log_path(logs, "r"), (written_s, written_s))
    mend(logs, "r", 300_000)
    assert told(logs) == (WRITTEN, [Gap(len(WRITTEN), 300_000, GapReason.NOT_KEPT)])
