"""Who reads a log writes nothing to the disk by that, not even when it was read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.log.logfile import LogReader, index_path, log_path
from supervisor.log.logwriter import LogWriter
from supervisor.log.opening import open_quietly
from supervisor.model import Stream


def test_that_a_log_was_read_is_not_noted(tmp_path: Path) -> None:
    log = LogWriter.create(tmp_path, "r")
    log.append(b"text", Stream.STDOUT)
    paths = log_path(tmp_path, "r"), index_path(tmp_path, "r")
    for path in paths:
        os.utime(path, (1, path.stat().st_mtime))
    with LogReader.open(tmp_path, "r") as reader:
        assert reader.read(0, 10)
    assert log.newest(0, 10)
    log.close()
    assert [path.stat().st_atime for path in paths] == [1, 1]


def test_a_log_of_somebody_else_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the owner may have that not noted."""
    path = tmp_path / "file"
    path.write_bytes(b"text")
    real = os.open

    def refuse(path: Path, flags: int, mode: int) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    fd = open_quietly(path, os.O_RDONLY)
    assert os.read(fd, 10) == b"text"
    os.close(fd)
