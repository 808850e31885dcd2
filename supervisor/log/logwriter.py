"""The writing side of a run's log: bytes go from the pipe to the file, and whose they are first.

Nothing here waits: calls take as long as the page cache does. Only `LogWriter.sync` may take long
and belongs in a worker thread.

A log that has a limit never makes its run wait. With `truncate-head` its oldest bytes are given
back, in `sync`, so it may be longer than the limit by what comes within a second or two. Else
what comes when it is full is taken and thrown away: it still counts in offsets, the file has a
hole there, and the index says that nothing was kept.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from pathlib import Path

import trio

from supervisor.errors import StorageUnavailable
from supervisor.log import logindex, source
from supervisor.log.holes import written
from supervisor.log.logfile import Chunk, index_path, log_path
from supervisor.log.logindex import Header, Record, Span
from supervisor.log.ondisk import AT_FAULT, OnDisk, give_back_unused
from supervisor.log.opening import open_quietly
from supervisor.log.trimming import trim
from supervisor.model import Stream
from supervisor.pulse import Pulse
from supervisor.spec import LogLimit, OnFull
from supervisor.units import KIB, MIB

MAX_SPLICE = 256 * KIB
_RECENT = 16
_MAY_BE_DAMAGED = MIB // logindex.RECORD_SIZE
"""At how many of its last records an index is looked at when it is gone on with: a minute's at
least, and what is older is on disk, by our syncs or the kernel's (30 s, proc_sys_vm(5)). To look at
all that a run has written in a week would take minutes."""
_STREAMS = {int(stream): stream for stream in Stream}


class LogWriter:
    """The one writer of a live run's log.

    `size` is the offset one past the last byte, `oldest` the first one kept; `grew` fires after
    every change. Not for more than one thread, except `sync`, and what a `Tail` is asked.
    """

    def __init__(
        self, directory: Path, run_id: str, fds: tuple[int, int], limit: LogLimit | None = None
    ) -> None:
        """Use `create`. `fds` are the open log and index, -1 for one that is not there."""
        self.run_id = run_id
        self.overflowed = False
        """Whether there were bytes that were not kept because the log was full."""
        self._limit = limit
        self.size = 0
        self.oldest = 0
        self.floor = 0
        """`oldest`, or what is about to be that."""
        self.grew = Pulse()
        self.rested: dict[int, Stream] = {}
        """Pipes whose bytes are left where they are for a moment, and their streams."""
        self._directory = directory
        self._log_fd, self._index_fd = fds
        self._last: Record | None = None
        self._due = False
        """Whether the last record is yet to be written."""
        self._written: int | None = None
        """Whose the next bytes would be as far as the file tells: the stream of its last record."""
        self._recent: tuple[Record, ...] = ()
        self._count = 0
        self._all_synced = True
        """Whether all that was written when it was last synced is on disk, the last record as well."""
        self._held: dict[Stream, bytes] = {}
        self._write_trouble: str | None = None
        self._disk = OnDisk(directory, run_id)
        self._sync_lock = threading.Lock()
        self.hurried = trio.Event()
        """Set when what comes is to be taken without regard to how far the disk is behind."""
        self.closed = False
        self.silent_s = 0.0
        """For how long nothing had been written to it when it was opened."""

    @classmethod
    def create(cls, directory: Path, run_id: str, limit: LogLimit | None = None) -> LogWriter:
        """Begin a run's log. One that is already there is gone on with, never cut.

        What a crash tore at its end is put right. Raises StorageUnavailable, and StateDirError for an
        index of a newer version.
        """
        log = cls(directory, run_id, _open_files(directory, run_id), limit)
        try:
            log._take_up()
        except BaseException:
            log.close()
            raise
        return log

    @property
    def dirty(self) -> bool:
        """True if `sync` has something to do: bytes that may not be on disk, or too many."""
        return self.size != self._disk.size or not self._all_synced or self._excess() > 0

    @property
    def ahead(self) -> bool:
        """True if it is so far ahead of the disk that more has to wait for a `sync`."""
        return self.size - self._disk.size > self._disk.allowance and not self.hurried.is_set()

    @property
    def trouble(self) -> str | None:
        """Why bytes cannot be stored right now, in one line; None if they can."""
        return self._write_trouble or self._disk.trouble

    def splice(self, fd: int, stream: Stream) -> int:
        """Move what `fd` has, up to MAX_SPLICE, to the end of the log; 0 means end of file.

        A pipe's bytes do not pass through this process. Raises BlockingIOError if there is
        nothing now, and StorageUnavailable if it cannot be stored: then nothing is lost, and the
        same call can be made again later.
        """
        room = sys.maxsize if self._limit is None else self._room()
        if stream in self._held or not room:
            return self._copy(fd, stream)
        if self._index_fd < 0 and not source.waits_in(fd):
            return self._copy(fd, stream)  # the end of a stream on which nothing ever came
        try:
            self._mark(stream, time.time_ns() // 1000)
            moved = os.splice(
                fd,
                self._log_fd,
                min(MAX_SPLICE, room),
                offset_dst=self.size,
                flags=os.SPLICE_F_NONBLOCK,
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
        room = self._room()
        try:
            time_us = time.time_ns() // 1000 if time_us is None else time_us
            if not room:
                self.skip(len(data), time_us=time_us)
                self.overflowed = True
                return len(data)
            self._mark(stream, time_us)
            written = os.pwrite(self._log_fd, data[:room], self.size)
        except OSError as exc:
            self._refuse(exc)
            raise
        self._grow(written)
        return written

    def skip(self, count: int, *, time_us: int | None = None) -> None:
        """Count `count` bytes that are not kept. Raises StorageUnavailable."""
        try:
            self._mark(logindex.NOT_KEPT, time.time_ns() // 1000 if time_us is None else time_us)
            os.ftruncate(self._log_fd, self.size + count)
        except OSError as exc:
            self._refuse(exc)
            raise
        self._grow(count)

    def spans_from(self, offset: int, size: int) -> list[Span] | None:
        """See Tail: as far back as the last few records tell."""
        recent = self._recent
        first = len(recent) - 1
        while first >= 0 and recent[first].start > offset:
            first -= 1
        if first < 0:
            return None
        if first == len(recent) - 1:  # as it is for most who follow live
            last = recent[first]
            return [Span(offset, size, last.stream, last.time_us)]
        return logindex.spans(recent[first:], offset, size)

    def newest(self, offset: int, limit: int) -> Chunk | None:
        """Up to `limit` bytes from `offset` on, if all that is there came last, from one stream.

        None if not, or if they cannot be read: whoever wants them finds out why. Quicker than a
        reader, since those who follow live wait for nothing else.
        """
        last = self._last
        if last is None or not last.start <= offset < self.size or last.stream not in _STREAMS:
            return None
        try:
            data = os.pread(self._log_fd, min(limit, self.size - offset), offset)
        except OSError:
            return None
        if offset < self.floor:
            return None
        return Chunk(offset, data, _STREAMS[last.stream], last.time_us)

    def holds(self, stream: Stream) -> bool:
        """True if bytes of `stream` were read but not yet stored, so `splice` has work to do.

        Only happens where the source cannot be spliced (a terminal) and the disk is full.
        """
        return stream in self._held

    def sync(self, *, whole: bool = False) -> None:
        """Return when all bytes so far are on disk, and too many given back.

        `whole` says that no more will come. Blocks: for a worker thread. Raises StorageUnavailable.
        """
        with self._sync_lock:
            if self.dirty and not self.closed:
                self._sync()
                self._trim()
            if whole and not self.closed:
                give_back_unused(self._log_fd)
        if self.closed:
            self.close()

    def close(self) -> None:
        """Let go of the files. A `sync` under way in another thread is not waited for."""
        self.closed = True
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
            self.size = self._disk.size = found.st_size
            self._all_synced = not self.size
            self.silent_s = max(0.0, time.time() - found.st_mtime)
            if self._index_fd < 0 and not self.size:
                return  # it is made with the first byte
            lost = self._index_fd < 0 or not logindex.is_header(self._read_header())
            if lost:
                kept = written(self._log_fd, 0, self.size, known=False)
                self._make_index(Header(kept[0][0] if kept else self.size))
            self._take_up_index()
            self._mend(max(1, found.st_mtime_ns // 1000), known=not lost and self._last is not None)
        except OSError as exc:
            self._refuse(exc)
            raise

    def _read_header(self) -> bytes:
        return os.pread(self._index_fd, logindex.HEADER_SIZE, 0)

    def _take_up_index(self) -> None:
        """Count the sound records and cut off the rest."""
        header = logindex.parse_header(self._read_header())
        self.oldest = self.floor = header.floor
        end, back = os.fstat(self._index_fd).st_size // logindex.RECORD_SIZE, _MAY_BE_DAMAGED
        self._count_sound(max(header.first, end - back))
        while self._last is None and self._count > header.first:
            back *= 16
            self._count_sound(max(header.first, end - back))
        os.ftruncate(self._index_fd, logindex.position(self._count))

    def _count_sound(self, begin: int) -> None:
        """Go from record number `begin` on to the last one that is sound."""
        self._count = begin
        while raw := os.pread(self._index_fd, 64 * KIB, logindex.position(self._count)):
            records = logindex.parse_records(raw)
            good = logindex.sound_prefix(self._last, records, self.size)
            if good:
                self._last = records[good - 1]
                self._written = self._last.stream
            self._count += good
            if good * logindex.RECORD_SIZE < len(raw):
                break

    def _mend(self, time_us: int, *, known: bool) -> None:
        """Have the index tell what it has lost, at its end or altogether: what is not there.

        `known` says that its last record, and so where the bytes after it begin, can be believed.
        """
        last = self._last or Record(self.floor, Stream.STDOUT, 0)
        may_end_in_gap = self._limit is not None and self._limit.on_full is not OnFull.TRUNCATE_HEAD
        if (known and not may_end_in_gap) or last.stream == logindex.NOT_KEPT:
            return
        at = start = max(last.start, self.floor)
        for begin, end in written(self._log_fd, start, self.size, known=known):
            if begin > at:
                self._add(Record(at, logindex.NOT_KEPT, time_us))
            if begin > at or self._last is None:
                self._add(Record(begin, last.stream, time_us))
            at = end
        if at < self.size:
            self._add(Record(at, logindex.NOT_KEPT, time_us))

    def _room(self) -> int:
        """How many bytes more may be kept."""
        if self._limit is None or self._limit.on_full is OnFull.TRUNCATE_HEAD:
            return sys.maxsize
        return max(0, self._limit.max_bytes - self.size)

    def _excess(self) -> int:
        """How many bytes are to be given back; not before it is worth the while."""
        if self._limit is None or self._limit.on_full is not OnFull.TRUNCATE_HEAD:
            return 0
        excess = self.size - self.oldest - self._limit.max_bytes
        return excess if excess > min(MIB, self._limit.max_bytes // 8) else 0

    def _trim(self) -> None:
        excess = self._excess()
        if excess:
            self.floor = self.oldest + excess
            try:
                self.oldest = trim(self._directory, self.run_id, self.floor)
            except OSError as exc:
                self._disk.trouble = f"the log of run {self.run_id} cannot be cut: {exc.strerror}"
                raise StorageUnavailable(self._disk.trouble) from exc

    def _mark(self, stream: int, time_us: int) -> None:
        """See to it that the index says whose the next byte will be.

        A record that tells nothing but the time may be written after its bytes, so that nobody who
        follows live has to wait for it.
        """
        if self._due and self._last is not None and self._last.start < self.size:
            self._write_last()
        new = Record(self.size, stream, max(1, time_us))
        number = logindex.slot(self._last, self._count, new)
        if number is not None:
            self._note(new, number)
        if self._due and self._written != stream:
            self._write_last()

    def _note(self, record: Record, number: int) -> None:
        kept = self._recent if number == self._count else self._recent[:-1]
        self._recent = (*kept[1 - _RECENT :], record)
        self._last = record
        self._count = number + 1
        self._due = True

    def _add(self, record: Record) -> None:
        self._note(record, self._count)
        self._write_last()

    def _write_last(self) -> None:
        if self._index_fd < 0:
            self._make_index(Header())
        last = self._recent[-1]
        _write_whole(self._index_fd, logindex.pack_record(last), logindex.position(self._count - 1))
        self._written = last.stream
        self._due = False

    def _make_index(self, header: Header) -> None:
        """Not before there is something to put into it: many runs write nothing."""
        fd = self._index_fd
        try:
            if fd < 0:
                path = index_path(self._directory, self.run_id)
                fd = open_quietly(path, os.O_RDWR | os.O_CREAT)
            _write_whole(fd, logindex.pack_header(header), 0)
        except OSError as exc:
            if fd >= 0 and fd != self._index_fd:
                os.close(fd)
            self._write_trouble = (
                f"the index of the log of run {self.run_id} cannot be made: {exc.strerror}"
            )
            raise StorageUnavailable(self._write_trouble) from exc
        self._index_fd = fd

    def _copy(self, fd: int, stream: Stream) -> int:
        """Read and write, where splice(2) cannot; what finds no room on the disk is held."""
        data = self._held.pop(stream, b"") or source.read_ready(fd)
        if not data:
            return 0
        written = 0
        try:
            written = self.append(data, stream)
            if written < len(data) and not self._room():
                written += self.append(data[written:], stream)
        finally:
            if written < len(data):
                self._held[stream] = data[written:]
        return written

    def _grow(self, count: int) -> None:
        if count:  # the end of another stream says nothing about the disk
            self._write_trouble = None
            self.size += count
            self.grew.fire()
            if self._due:
                try:
                    self._write_last()
                except OSError as exc:
                    self._write_trouble = self._told(exc)

    def _refuse(self, exc: OSError) -> None:
        """Raise our error if storage is at fault; anything else is a bug and stays what it is."""
        if exc.errno in AT_FAULT:
            self._write_trouble = self._told(exc)
            raise StorageUnavailable(self._write_trouble) from exc

    def _told(self, exc: OSError) -> str:
        return f"the log of run {self.run_id} cannot be written: {exc.strerror}"

    def _sync(self) -> None:
        size, all_told = self.size, not self._due
        self._disk.sync(self._log_fd, self._index_fd, size, self._room())
        self._all_synced = all_told


def _open_files(directory: Path, run_id: str) -> tuple[int, int]:
    """The log, made if it is not there, and the index, -1 if it is not. No O_APPEND: splice(2)
    refuses it.
    """
    try:
        log_fd = open_quietly(log_path(directory, run_id), os.O_RDWR | os.O_CREAT)
        try:
            return log_fd, open_quietly(index_path(directory, run_id), os.O_RDWR)
        except FileNotFoundError:
            return log_fd, -1
        except BaseException:
            os.close(log_fd)
            raise
    except OSError as exc:
        raise StorageUnavailable(
            f"the log of run {run_id} cannot be opened: {exc.strerror}"
        ) from exc


def _write_whole(fd: int, data: bytes, offset: int) -> None:
    if os.pwrite(fd, data, offset) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
