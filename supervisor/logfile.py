"""A run's output on disk: one file of raw bytes and one index, with one writer and any readers.

The log is the buffer: bytes go from the pipe to the file, and everyone who watches is a cursor
over the file. An offset is a position in `<run id>.log`, all streams together in arrival order,
and it never changes its meaning. The index beside it is told in `logindex`.

Nothing here waits: calls take as long as the page cache does. `LogWriter.sync` and `remove_log`
may take long and belong in a worker thread.
"""

from __future__ import annotations

import enum
import errno
import os
import select
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from supervisor import logindex
from supervisor.errors import RangeNotSatisfiable, StorageUnavailable
from supervisor.indexfile import IndexFile
from supervisor.logindex import Header, Record
from supervisor.model import Stream
from supervisor.pulse import Pulse

KIB = 1024
MIB = 1024 * KIB

MAX_SPLICE = 256 * KIB
MAX_COPY = 128 * KIB
MAX_PIECES = 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STORAGE_ERRNOS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.EFBIG,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ENXIO,
        errno.ETIMEDOUT,
    }
)


class Chunk(Struct, frozen=True):
    """Bytes of one stream: `data` lies at `offset` and was written at `time_us` (µs, UTC)."""

    offset: int
    data: bytes
    stream: Stream
    time_us: int

    @property
    def next(self) -> int:
        """The offset one past the last byte."""
        return self.offset + len(self.data)

    @property
    def time(self) -> datetime:
        """`time_us` as a datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.time_us)


class GapReason(enum.StrEnum):
    """Why bytes that were written cannot be read."""

    TRIMMED = "trimmed"
    NOT_KEPT = "not_kept"


class Gap(Struct, frozen=True):
    """There is nothing to read from `offset` to `next` (exclusive), and never will be."""

    offset: int
    next: int
    reason: GapReason


Piece = Chunk | Gap


class StreamPart(Struct, frozen=True):
    """Some pieces of one stream, and the offset `next` at which to go on."""

    pieces: tuple[Piece, ...]
    next: int


def log_path(directory: Path, run_id: str) -> Path:
    """The file with the run's raw bytes."""
    return directory / f"{run_id}.log"


def index_path(directory: Path, run_id: str) -> Path:
    """The index beside it."""
    return directory / f"{run_id}.idx"


def remove_log(directory: Path, run_id: str) -> None:
    """Delete a run's log and index, as far as they are there. Raises StorageUnavailable."""
    try:
        log_path(directory, run_id).unlink(missing_ok=True)
        index_path(directory, run_id).unlink(missing_ok=True)
    except OSError as exc:
        raise StorageUnavailable(f"the log of run {run_id} cannot be removed: {exc}") from exc


class LogWriter:
    """The one writer of a live run's log.

    `size` is the offset one past the last byte, `oldest` the first one kept; `grew` fires after
    every change. Not for more than one thread, except `sync`.
    """

    def __init__(self, directory: Path, run_id: str, fds: tuple[int, int]) -> None:
        """Use `create` or `reopen`. `fds` are the open log and index."""
        self.run_id = run_id
        self.size = 0
        self.oldest = 0
        self.grew = Pulse()
        self.dirty = False
        self._directory = directory
        self._log_fd, self._index_fd = fds
        self._last: Record | None = None
        self._count = 0
        self._held: dict[Stream, bytes] = {}
        self._write_trouble: str | None = None
        self._sync_trouble: str | None = None
        self._sync_lock = threading.Lock()
        self._directory_synced = False
        self._closed = False

    @classmethod
    def create(cls, directory: Path, run_id: str) -> LogWriter:
        """Begin a run's log. One that is already there is gone on with, never cut.

        Raises StorageUnavailable.
        """
        log = cls(directory, run_id, _open_files(directory, run_id))
        try:
            log._take_up()
        except BaseException:
            log.close()
            raise
        return log

    @classmethod
    def reopen(cls, directory: Path, run_id: str) -> LogWriter:
        """Go on with a log whose writer is gone, at its end; what a crash tore is put right.

        Raises StorageUnavailable, and StateDirError for an index of a newer version.
        """
        return cls.create(directory, run_id)

    @property
    def trouble(self) -> str | None:
        """Why bytes cannot be stored right now, in one line; None if they can."""
        return self._write_trouble or self._sync_trouble

    def splice(self, fd: int, stream: Stream) -> int:
        """Move what `fd` has, up to MAX_SPLICE, to the end of the log; 0 means end of file.

        A pipe's bytes do not pass through this process. Raises BlockingIOError if there is
        nothing now, and StorageUnavailable if it cannot be stored: then nothing is lost, and the
        same call can be made again later.
        """
        if stream in self._held:
            return self._copy(fd, stream)
        try:
            self._mark(stream, _now_us())
            moved = os.splice(
                fd, self._log_fd, MAX_SPLICE, offset_dst=self.size, flags=os.SPLICE_F_NONBLOCK
            )
        except BlockingIOError:
            raise
        except OSError as exc:
            if exc.errno == errno.EINVAL:
                return self._copy(fd, stream)
            self._refuse(exc)
            raise
        self._grow(moved)
        return moved

    def append(self, data: bytes, stream: Stream, *, time_us: int | None = None) -> int:
        """Write `data`, or as much of it as there is room for; returns how many bytes.

        `time_us` is when it was written, in µs (UTC), if not now. Raises StorageUnavailable if
        nothing at all could be written.
        """
        try:
            self._mark(stream, _now_us() if time_us is None else time_us)
            written = os.pwrite(self._log_fd, data, self.size)
        except OSError as exc:
            self._refuse(exc)
            raise
        self._grow(written)
        return written

    def holds(self, stream: Stream) -> bool:
        """True if bytes of `stream` were read but not yet stored, so `splice` has work to do.

        Only happens where the source cannot be spliced (a terminal) and the disk is full.
        """
        return stream in self._held

    def sync(self) -> None:
        """Return when all bytes so far are on disk. Blocks: for a worker thread.

        Raises StorageUnavailable.
        """
        with self._sync_lock:
            if not self._closed:
                self._sync()
        if self._closed:
            self.close()

    def close(self) -> None:
        """Let go of the files. A `sync` under way in another thread is not waited for."""
        self._closed = True
        if not self._sync_lock.acquire(blocking=False):
            return
        try:
            for fd in (self._log_fd, self._index_fd):
                if fd >= 0:
                    os.close(fd)
            self._log_fd = self._index_fd = -1
        finally:
            self._sync_lock.release()

    def _take_up(self) -> None:
        try:
            found = os.fstat(self._log_fd)
            self.size = found.st_size
            index_size = os.fstat(self._index_fd).st_size
            if index_size < logindex.HEADER_SIZE:
                _write_whole(self._index_fd, logindex.pack_header(Header()), 0)
            else:
                self._take_up_index()
            if self.size and not self._count:
                self._write_record(Record(0, Stream.STDOUT, found.st_mtime_ns // 1000), 0)
        except OSError as exc:
            self._refuse(exc)
            raise

    def _take_up_index(self) -> None:
        """Count the sound records and cut off the rest."""
        header = logindex.parse_header(os.pread(self._index_fd, logindex.HEADER_SIZE, 0))
        if header == Header():
            _write_whole(self._index_fd, logindex.pack_header(header), 0)
        self.oldest = header.floor
        self._count = header.first
        while raw := os.pread(self._index_fd, 64 * KIB, logindex.position(self._count)):
            records = logindex.parse_records(raw)
            good = logindex.sound_prefix(self._last, records, self.size)
            if good:
                self._last = records[good - 1]
            self._count += good
            if good * logindex.RECORD_SIZE < len(raw):
                break
        os.ftruncate(self._index_fd, logindex.position(self._count))

    def _mark(self, stream: Stream, time_us: int) -> None:
        """See to it that the index says whose the next byte will be."""
        new = Record(self.size, stream, max(1, time_us))
        number = logindex.slot(self._last, self._count, new)
        if number is not None:
            self._write_record(new, number)

    def _write_record(self, record: Record, number: int) -> None:
        _write_whole(self._index_fd, logindex.pack_record(record), logindex.position(number))
        self._last = record
        self._count = number + 1

    def _copy(self, fd: int, stream: Stream) -> int:
        """Read and write, where splice(2) cannot; what finds no room is held."""
        data = self._held.pop(stream, b"") or _read_ready(fd)
        if not data:
            return 0
        written = 0
        try:
            written = self.append(data, stream)
        finally:
            if written < len(data):
                self._held[stream] = data[written:]
        return written

    def _grow(self, count: int) -> None:
        self._write_trouble = None
        if count:
            self.size += count
            self.dirty = True
            self.grew.fire()

    def _refuse(self, exc: OSError) -> None:
        """Raise our error if storage is at fault; anything else is a bug and stays what it is."""
        if exc.errno in _STORAGE_ERRNOS:
            self._write_trouble = f"the log of run {self.run_id} cannot be written: {exc.strerror}"
            raise StorageUnavailable(self._write_trouble) from exc

    def _sync(self) -> None:
        self.dirty = False
        try:
            os.fdatasync(self._index_fd)
            os.fdatasync(self._log_fd)
            if not self._directory_synced:
                _sync_directory(self._directory)
                self._directory_synced = True
        except OSError as exc:
            self.dirty = True
            self._sync_trouble = f"the log of run {self.run_id} cannot be synced: {exc.strerror}"
            raise StorageUnavailable(self._sync_trouble) from exc
        self._sync_trouble = None


class LogReader:
    """Reads a run's log at any offset, while it grows or after; as many readers as you like.

    A log that does not exist yet is empty until it does. Use as a context manager, or `close`.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        """Nothing is opened before the first look."""
        self._log_path = log_path(directory, run_id)
        self._log_fd = -1
        self._index = IndexFile(index_path(directory, run_id))

    @classmethod
    def open(cls, directory: Path, run_id: str) -> LogReader:
        """A reader of this run's log. Raises nothing: the first look opens the files."""
        return cls(directory, run_id)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @property
    def size(self) -> int:
        """The offset one past the last byte so far."""
        if self._log_fd < 0:
            try:
                self._log_fd = os.open(self._log_path, os.O_RDONLY)
            except FileNotFoundError:
                return 0
            except OSError as exc:
                raise self._unreadable(exc) from exc
        return os.fstat(self._log_fd).st_size

    @property
    def oldest(self) -> int:
        """The first offset that is still kept."""
        size = self.size
        return min(self._index.header().floor, size)

    def read(self, offset: int, limit: int) -> list[Piece]:
        """What lies at `offset`, contiguous, up to `limit` bytes; empty at the log's end.

        A chunk is what came from one stream at one time. Far fewer than `limit` bytes may be
        returned where chunks are tiny. Raises RangeNotSatisfiable outside 0 to `size`, and
        StorageUnavailable.
        """
        size = self._checked_size(offset)
        if offset == size:
            return []
        spans, end = self._index.spans(offset, size, limit)
        end = min(end, offset + limit)
        data = self._pread(offset, end - offset)
        gap = self._trimmed(offset)  # looked at last: bytes may be given back while we read
        if gap:
            return [gap]
        pieces: list[Piece] = []
        for span in spans:
            if span.start >= end:
                break
            if span.stream == logindex.NOT_KEPT:
                pieces.append(Gap(span.start, span.end, GapReason.NOT_KEPT))
                continue
            part = data[span.start - offset : span.end - offset]
            pieces.append(Chunk(span.start, part, Stream(span.stream), span.time_us))
        return pieces

    def read_stream(self, stream: Stream, offset: int, limit: int) -> StreamPart:
        """Up to `limit` bytes of one stream from `offset` on, passing over the others.

        A call looks at a bounded part of the log, so it may return nothing and still have come
        nearer: go on at `next` until that is the size. Raises as `read`.
        """
        size = self._checked_size(offset)
        spans, end = self._index.spans(offset, size, size - offset)
        pieces: list[Piece] = []
        for span in spans:
            if span.stream == logindex.NOT_KEPT:
                pieces.append(Gap(span.start, span.end, GapReason.NOT_KEPT))
            elif span.stream == stream:
                data = self._pread(span.start, min(limit, span.end - span.start))
                pieces.append(Chunk(span.start, data, stream, span.time_us))
                limit -= len(data)
                if limit <= 0 or len(pieces) >= MAX_PIECES:
                    end = span.start + len(data)
                    break
        gap = self._trimmed(offset)
        if gap:
            return StreamPart((gap,), gap.next)
        return StreamPart(tuple(pieces), end)

    def line_start_before(self, offset: int, within: int = 64 * KIB) -> int:
        """The start of the line that `offset` is in; `offset` itself if its line is too long.

        Looks back at most `within` bytes and not past `oldest`. Lines are those of the merged
        log, whatever the stream. Raises as `read`.
        """
        self._checked_size(offset)
        oldest = self.oldest
        start = max(oldest, offset - within)
        if offset <= oldest:
            return oldest
        newline = self._pread(start, offset - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        return start if start == oldest else offset

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1

    def _checked_size(self, offset: int) -> int:
        size = self.size
        if not 0 <= offset <= size:
            raise RangeNotSatisfiable(
                f"offset {offset} is outside the log, which ends at {size}",
                oldest=self.oldest,
                size=size,
            )
        return size

    def _trimmed(self, offset: int) -> Gap | None:
        floor = self._index.header().floor
        return Gap(offset, floor, GapReason.TRIMMED) if offset < floor else None

    def _pread(self, offset: int, count: int) -> bytes:
        try:
            return os.pread(self._log_fd, count, offset)
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, exc: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"{self._log_path.name} cannot be read: {exc.strerror}")


def _open_files(directory: Path, run_id: str) -> tuple[int, int]:
    """The log and the index, made if they are not there. No O_APPEND: splice(2) refuses it."""
    opened: list[int] = []
    try:
        for path in (log_path(directory, run_id), index_path(directory, run_id)):
            opened.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        for fd in opened:
            os.close(fd)
        raise StorageUnavailable(
            f"the log of run {run_id} cannot be opened: {exc.strerror}"
        ) from exc
    return opened[0], opened[1]


def _write_whole(fd: int, data: bytes, offset: int) -> None:
    if os.pwrite(fd, data, offset) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read_ready(fd: int) -> bytes:
    """What `fd` has now, whether or not it is set non-blocking; empty at its end."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    if not poller.poll(0):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    try:
        return os.read(fd, MAX_COPY)
    except ConnectionResetError:
        return b""
    except OSError as exc:
        if exc.errno == errno.EIO:  # how a terminal says that its other end is closed: pty(7)
            return b""
        raise


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _now_us() -> int:
    return time.time_ns() // 1000
