"""A log that grows fast has room at hand on the disk while it is synced, and never keeps it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.errors import StorageUnavailable
from supervisor.log import blocks, ondisk
from supervisor.log.logfile import Chunk, Gap, GapReason, LogReader, log_path
from supervisor.log.logwriter import LogWriter
from supervisor.model import Stream
from supervisor.runlogs import sync_whole
from supervisor.spec import LogLimit, OnFull
from supervisor.units import KIB, MIB

FLOOD = b"line\n" * (MIB // 5)
Make = Callable[..., LogWriter]


@pytest.fixture(autouse=True)
def a_mebibyte_is_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ondisk, "FLOOD_BYTES", len(FLOOD))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    logs: list[LogWriter] = []

    def create(limit: LogLimit | None = None) -> LogWriter:
        logs.append(LogWriter.create(tmp_path, "r", limit))
        return logs[-1]

    yield create
    for log in logs:
        log.close()


def beyond(directory: Path) -> int:
    """How many bytes the log takes on disk beyond what it is long, about."""
    told = log_path(directory, "r").stat()
    return told.st_blocks * 512 - told.st_size


async def test_room_is_reserved_for_a_flood_and_given_back_at_its_end(
    make: Make, tmp_path: Path
) -> None:
    log = make()
    log.append(FLOOD, Stream.STDOUT)
    log.sync()
    assert beyond(tmp_path) >= len(FLOOD) - 64 * KIB
    assert log_path(tmp_path, "r").read_bytes() == FLOOD
    log.append(b"end\n", Stream.STDERR)
    log.sync()
    await sync_whole(log)
    assert beyond(tmp_path) <= 64 * KIB
    assert log_path(tmp_path, "r").read_bytes() == FLOOD + b"end\n"


async def test_what_a_killed_server_had_reserved_is_given_back_by_the_next(
    make: Make, tmp_path: Path
) -> None:
    killed = make()
    killed.append(FLOOD, Stream.STDOUT)
    killed.sync()
    log = make()
    log.append(b"more\n", Stream.STDOUT)
    log.sync()
    assert beyond(tmp_path) >= len(FLOOD) - 64 * KIB
    await sync_whole(log)
    assert beyond(tmp_path) <= 64 * KIB
    assert log_path(tmp_path, "r").read_bytes() == FLOOD + b"more\n"


def test_nothing_is_reserved_for_a_log_that_grows_slowly(make: Make, tmp_path: Path) -> None:
    log = make()
    for _ in range(3):
        log.append(FLOOD[:-5], Stream.STDOUT)
        log.sync()
    assert beyond(tmp_path) <= 64 * KIB


def test_a_long_log_that_is_gone_on_with_is_no_flood(make: Make, tmp_path: Path) -> None:
    log_path(tmp_path, "r").write_bytes(FLOOD * 2)
    log = make()
    log.append(b"x", Stream.STDOUT)
    log.sync()
    assert beyond(tmp_path) <= 64 * KIB


def test_no_more_is_reserved_than_the_log_may_have(make: Make, tmp_path: Path) -> None:
    log = make(LogLimit(len(FLOOD) + 256 * KIB, OnFull.STOP_CAPTURE))
    log.append(FLOOD, Stream.STDOUT)
    log.sync()
    assert 192 * KIB <= beyond(tmp_path) <= 320 * KIB
    kept = log.append(FLOOD, Stream.STDOUT)
    log.append(FLOOD[kept:], Stream.STDOUT)
    log.sync(whole=True)
    with LogReader.open(tmp_path, "r") as reader:
        pieces = reader.read(0, 4 * MIB)
    data = b"".join(piece.data for piece in pieces if isinstance(piece, Chunk))
    assert data == (FLOOD * 2)[: len(FLOOD) + 256 * KIB]
    assert pieces[-1] == Gap(len(data), 2 * len(FLOOD), GapReason.NOT_KEPT)


def test_nothing_is_reserved_where_there_is_little_room(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ondisk, "_SHARE_OF_FREE", 1 << 40)
    log = make()
    log.append(FLOOD, Stream.STDOUT)
    log.sync()
    assert beyond(tmp_path) <= 64 * KIB


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_file_system_that_can_reserve_nothing_is_none_the_worse(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_arguments: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(blocks, "reserve", refuse)
    log = make()
    log.append(FLOOD, Stream.STDOUT)
    log.sync(whole=True)
    assert not log.dirty
    assert log.trouble is None
    assert log_path(tmp_path, "r").read_bytes() == FLOOD


def test_why_a_sync_failed_is_told_until_one_works(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = make()
    log.append(b"x", Stream.STDOUT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(StorageUnavailable, match="log of run r cannot be synced"):
            log.sync()
        assert log.trouble is not None
        assert log.dirty
    log.sync()
    assert log.trouble is None
    assert not log.dirty
