"""Writing a log: exact bytes, a crash at any point, no room left."""

import errno
import fcntl
import os
import pty
import resource
import socket
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.errors import StateDirError, StorageUnavailable
from supervisor.log import logindex
from supervisor.log.logfile import Chunk, LogReader, index_path, log_path, remove_log
from supervisor.log.logindex import Header, Record
from supervisor.log.logwriter import MAX_SPLICE, LogWriter
from supervisor.model import Stream
from tests.descriptors import free_descriptors

OUT, ERR = Stream.STDOUT, Stream.STDERR
LIMIT = 1 << 20


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogWriter]:
    """A fresh log of run `r`."""
    log = LogWriter.create(tmp_path, "r")
    yield log
    log.close()


@pytest.fixture
def no_room() -> Iterator[None]:
    """No file can grow past LIMIT bytes (EFBIG, setrlimit(2)), until `make_room`."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def make_room() -> None:
    """Let files grow again."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def mounted(where: Path, options: str) -> Iterator[None]:
    """A tmpfs at `where`."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def fill_up(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as exc:
            assert exc.errno == errno.ENOSPC  # noqa: PT017 - the disk has to be full


def fill(log: LogWriter, left: int) -> None:
    """Write until only `left` bytes of room are there."""
    log.append(bytes(LIMIT - left), OUT)


def waiting_in(fd: int) -> int:
    """Bytes in a pipe, a terminal or a socket."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), "little")


def contents(directory: Path) -> list[tuple[bytes, Stream]]:
    """The chunks of run `r`."""
    with LogReader.open(directory, "r") as reader:
        pieces = reader.read(0, 1 << 24)
    assert all(isinstance(piece, Chunk) for piece in pieces)
    return [(piece.data, piece.stream) for piece in pieces if isinstance(piece, Chunk)]


def records(directory: Path) -> list[Record]:
    """What the index of run `r` holds."""
    return logindex.parse_records(index_path(directory, "r").read_bytes()[logindex.HEADER_SIZE :])


def test_what_a_pipe_holds_goes_to_the_end_of_the_file(log: LogWriter, tmp_path: Path) -> None:
    """One call moves what is there; the file is the bytes and nothing else."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"one\n")
    assert log.splice(read_end, OUT) == 4
    os.write(write_end, b"two\n")
    assert log.splice(read_end, ERR) == 4
    assert log.size == 8
    assert log_path(tmp_path, "r").read_bytes() == b"one\ntwo\n"
    assert contents(tmp_path) == [(b"one\n", OUT), (b"two\n", ERR)]
    os.close(read_end)
    os.close(write_end)


def test_an_empty_pipe_blocks_nobody_and_an_ended_one_says_so(log: LogWriter) -> None:
    """BlockingIOError while a writer is there, 0 once none is; neither grows the log."""
    read_end, write_end = os.pipe()
    with pytest.raises(BlockingIOError):
        log.splice(read_end, OUT)
    os.close(write_end)
    assert log.splice(read_end, OUT) == 0
    assert log.size == 0
    assert not log.dirty
    os.close(read_end)


def test_one_call_moves_a_bounded_number_of_bytes(log: LogWriter) -> None:
    """So that a flood does not hold up others."""
    read_end, write_end = os.pipe()
    size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 2 * MAX_SPLICE)
    os.write(write_end, bytes(size))
    assert log.splice(read_end, OUT) == MAX_SPLICE
    os.close(read_end)
    os.close(write_end)


def test_looking_at_an_empty_pipe_leaves_no_record_behind(log: LogWriter, tmp_path: Path) -> None:
    """The record made ahead of the bytes is taken over by whoever writes next."""
    read_end, write_end = os.pipe()
    for stream in (OUT, ERR, OUT):
        with pytest.raises(BlockingIOError):
            log.splice(read_end, stream)
    log.append(b"x", ERR)
    assert [(record.start, record.stream) for record in records(tmp_path)] == [(0, ERR)]
    os.close(read_end)
    os.close(write_end)


def test_a_terminal_is_copied_and_its_end_is_an_end(log: LogWriter, tmp_path: Path) -> None:
    """A terminal cannot be spliced, and says with EIO that nobody holds its other side."""
    ours, theirs = pty.openpty()
    with pytest.raises(BlockingIOError):
        log.splice(ours, OUT)
    os.write(theirs, b"hello")
    assert log.splice(ours, OUT) == 5
    os.close(theirs)
    assert log.splice(ours, OUT) == 0
    assert contents(tmp_path) == [(b"hello", OUT)]
    os.close(ours)


def test_a_log_that_is_there_is_gone_on_with(log: LogWriter, tmp_path: Path) -> None:
    """Beginning it twice never cuts it."""
    log.append(b"before", OUT)
    again = LogWriter.create(tmp_path, "r")
    again.append(b"after", ERR)
    again.close()
    assert contents(tmp_path) == [(b"before", OUT), (b"after", ERR)]


def test_a_reopened_log_drops_records_of_bytes_that_never_came(
    log: LogWriter, tmp_path: Path
) -> None:
    """A record past the log's end, and a torn one after it, were written before their chunk."""
    log.append(b"kept", OUT)
    with index_path(tmp_path, "r").open("ab") as index:
        index.write(logindex.pack_record(Record(4, ERR, 1)) + b"torn")
    again = LogWriter.create(tmp_path, "r")
    assert again.size == 4
    assert len(records(tmp_path)) == 1
    again.append(b"new", ERR)
    again.close()
    assert contents(tmp_path) == [(b"kept", OUT), (b"new", ERR)]


def test_bytes_beyond_the_index_belong_to_its_last_stream(log: LogWriter, tmp_path: Path) -> None:
    """A power cut may lose the index's end; what comes after the restart has its own record."""
    log.append(b"a", OUT)
    log.append(b"b", ERR)
    log.append(b"c", OUT)
    os.truncate(index_path(tmp_path, "r"), logindex.position(2))
    again = LogWriter.create(tmp_path, "r")
    again.append(b"d", OUT)
    again.close()
    assert contents(tmp_path) == [(b"a", OUT), (b"bc", ERR), (b"d", OUT)]


@pytest.mark.parametrize("left", [0, 10, 64])
def test_a_lost_index_begins_anew_with_stdout(log: LogWriter, tmp_path: Path, left: int) -> None:
    """No byte is lost with it, and the header is whole again."""
    log.append(b"out and err", ERR)
    os.truncate(index_path(tmp_path, "r"), left)
    again = LogWriter.create(tmp_path, "r")
    again.append(b"new", ERR)
    again.close()
    assert contents(tmp_path) == [(b"out and err", OUT), (b"new", ERR)]
    raw = index_path(tmp_path, "r").read_bytes()
    assert raw[: logindex.HEADER_SIZE] == logindex.pack_header(Header())


def test_a_long_index_is_taken_up_whole(log: LogWriter, tmp_path: Path) -> None:
    """More records than are looked at in one step."""
    for number in range(5000):
        log.append(b"%d " % number, OUT if number % 2 else ERR)
    before = contents(tmp_path)
    again = LogWriter.create(tmp_path, "r")
    assert len(records(tmp_path)) == 5000
    again.append(b"end", OUT)
    again.close()
    assert contents(tmp_path)[: len(before)] == before


def test_an_index_of_a_newer_version_is_left_alone(log: LogWriter, tmp_path: Path) -> None:
    """Refused, with not a byte changed."""
    log.append(b"x", OUT)
    path = index_path(tmp_path, "r")
    raw = bytearray(path.read_bytes())
    raw[9] = 2
    path.write_bytes(raw)
    with pytest.raises(StateDirError, match="format 2"):
        LogWriter.create(tmp_path, "r")
    assert path.read_bytes() == raw


def test_a_directory_that_is_not_there_is_storage_trouble(tmp_path: Path) -> None:
    """Told as ours, with the reason."""
    with pytest.raises(StorageUnavailable, match="No such file"):
        LogWriter.create(tmp_path / "missing", "r")


@pytest.mark.usefixtures("no_room")
def test_without_room_the_bytes_stay_in_the_pipe(log: LogWriter, tmp_path: Path) -> None:
    """What fits is stored, the rest waits, and the same call works once there is room."""
    fill(log, left=3)
    read_end, write_end = os.pipe()
    os.write(write_end, b"abcdef")
    assert log.splice(read_end, ERR) == 3
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="run r cannot be written: File too large"):
            log.splice(read_end, ERR)
    assert waiting_in(read_end) == 3
    assert log.trouble == "the log of run r cannot be written: File too large"
    make_room()
    assert log.splice(read_end, ERR) == 3
    assert log.trouble is None
    assert b"".join(data for data, stream in contents(tmp_path) if stream is ERR) == b"abcdef"
    os.close(read_end)
    os.close(write_end)


@pytest.mark.usefixtures("no_room")
def test_without_room_what_was_read_from_a_terminal_is_held(log: LogWriter, tmp_path: Path) -> None:
    """Such bytes cannot stay where they were, so they come first when there is room."""
    fill(log, left=2)
    ours, theirs = socket.socketpair()
    theirs.send(b"abcd")
    assert log.splice(ours.fileno(), ERR) == 2
    assert log.holds(ERR)
    with pytest.raises(StorageUnavailable):
        log.splice(ours.fileno(), ERR)
    theirs.send(b"ef")
    theirs.close()
    make_room()
    assert [log.splice(ours.fileno(), ERR) for _ in range(3)] == [2, 2, 0]
    assert not log.holds(ERR)
    assert b"".join(data for data, stream in contents(tmp_path) if stream is ERR) == b"abcdef"
    ours.close()


@pytest.mark.usefixtures("no_room")
def test_the_index_names_the_stream_before_the_bytes_come(log: LogWriter, tmp_path: Path) -> None:
    """So that a writer killed between the two leaves no byte without a stream."""
    fill(log, left=0)
    with pytest.raises(StorageUnavailable):
        log.append(b"x", ERR)
    assert [(record.start, record.stream) for record in records(tmp_path)] == [
        (0, OUT),
        (LIMIT, ERR),
    ]


def test_a_record_that_tells_only_the_time_is_written_after_those_who_wait_were_told(
    log: LogWriter, tmp_path: Path
) -> None:
    """They are told the time, too; and one of another stream still comes before its bytes."""
    on_disk: list[list[tuple[int, int]]] = []
    told: list[Chunk | None] = []

    def look() -> None:
        on_disk.append([(record.start, record.stream) for record in records(tmp_path)])
        told.append(log.newest(log.size - 1, 1))

    with log.grew.calling(look):
        log.append(b"a", OUT, time_us=5_000)
        log.append(b"b", OUT, time_us=10_000)
        log.append(b"c", ERR, time_us=15_000)
    assert on_disk == [[(0, OUT)], [(0, OUT)], [(0, OUT), (1, OUT), (2, ERR)]]
    assert told == [
        Chunk(0, b"a", OUT, 5_000),
        Chunk(1, b"b", OUT, 10_000),
        Chunk(2, b"c", ERR, 15_000),
    ]


def test_a_record_that_finds_no_room_after_its_bytes_is_written_before_anything_else(
    log: LogWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nothing is taken, so that no more than one time is ever missing."""
    real, full = os.pwrite, False

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if full and len(data) == logindex.RECORD_SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    log.append(b"first", OUT, time_us=5_000)
    full = True
    log.append(b"second", OUT, time_us=10_000)
    assert log.trouble is not None
    with pytest.raises(StorageUnavailable, match="No space left"):
        log.append(b"third", OUT, time_us=15_000)
    assert contents(tmp_path) == [(b"firstsecond", OUT)]
    full = False
    log.append(b"third", OUT, time_us=15_000)
    assert log.trouble is None
    assert [record.time_us for record in records(tmp_path)] == [5_000, 10_000, 15_000]


def test_the_newest_bytes_are_those_of_the_last_stream_and_no_others(log: LogWriter) -> None:
    """Whatever a reader would tell otherwise: of two chunks, of what is not there or not kept."""
    log.append(b"abc", OUT, time_us=5_000)
    log.append(b"def", ERR, time_us=10_000)
    assert log.newest(4, 10) == Chunk(4, b"ef", ERR, 10_000)
    assert log.newest(3, 2) == Chunk(3, b"de", ERR, 10_000)
    assert log.newest(2, 10) is None
    assert log.newest(6, 10) is None
    log.floor = 5
    assert log.newest(4, 10) is None
    log.skip(3)
    assert log.newest(6, 10) is None
    log.append(b"ghi", ERR)
    log.close()
    assert log.newest(9, 10) is None


@pytest.mark.usefixtures("no_room")
def test_append_says_how_much_it_took(log: LogWriter) -> None:
    """Less than all where room is short; none at all is an error."""
    fill(log, left=2)
    assert log.append(b"abcd", OUT) == 2
    with pytest.raises(StorageUnavailable):
        log.append(b"cd", OUT)


@pytest.mark.root
def test_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    """A real one, full to the last byte, so that not even the index can grow."""
    with mounted(tmp_path, "size=64k"):
        log = LogWriter.create(tmp_path, "r")
        filler = tmp_path / "filler"
        fill_up(filler)
        read_end, write_end = os.pipe()
        os.write(write_end, b"abc")
        with pytest.raises(StorageUnavailable, match="No space left"):
            log.splice(read_end, ERR)
        assert waiting_in(read_end) == 3
        filler.unlink()
        assert log.splice(read_end, ERR) == 3
        assert contents(tmp_path) == [(b"abc", ERR)]
        log.close()
        os.close(read_end)
        os.close(write_end)


def test_a_bug_is_not_taken_for_storage_trouble(log: LogWriter) -> None:
    """A descriptor that is not open must not be tried again for ever."""
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        log.splice(2**20, OUT)
    assert log.trouble is None


def test_sync_leaves_a_log_clean_until_it_grows(log: LogWriter) -> None:
    """`dirty` says whether there is anything to sync."""
    assert not log.dirty
    log.append(b"x", OUT)
    assert log.dirty
    log.sync()
    assert not log.dirty


def test_a_log_closed_during_a_sync_stays_open_until_it_is_done(log: LogWriter) -> None:
    """Else the sync would hit whatever file gets the same descriptor."""
    log.append(b"x", OUT)
    fd = log._log_fd
    with log._sync_lock:
        log.close()
        assert os.fstat(fd).st_size == 1
    log.sync()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(fd)
    log.close()


def test_a_log_is_for_its_owner_only(log: LogWriter, tmp_path: Path) -> None:
    """Output may hold secrets."""
    log.append(b"x", OUT)
    for path in (log_path(tmp_path, "r"), index_path(tmp_path, "r")):
        assert path.stat().st_mode & 0o777 == 0o600


def test_removing_a_log_removes_both_files_and_can_be_repeated(
    log: LogWriter, tmp_path: Path
) -> None:
    """Whatever part of it is still there."""
    remove_log(tmp_path, "r")
    assert list(tmp_path.iterdir()) == []
    remove_log(tmp_path, "r")


def test_a_log_in_which_nothing_ever_came_has_no_index(log: LogWriter, tmp_path: Path) -> None:
    """Its streams end like any other."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with pytest.raises(BlockingIOError):
        log.splice(read_end, OUT)
    os.close(write_end)
    assert log.splice(read_end, OUT) == 0
    os.close(read_end)
    assert (log.size, log.dirty, log.trouble) == (0, False, None)
    assert not index_path(tmp_path, "r").exists()
    with LogReader.open(tmp_path, "r") as reader:
        assert (reader.size, reader.oldest, reader.read(0, 10)) == (0, 0, [])


def test_without_a_descriptor_for_the_index_the_bytes_stay_in_the_pipe(
    log: LogWriter, tmp_path: Path
) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"abc")
    with free_descriptors(0), pytest.raises(StorageUnavailable, match="index"):
        log.splice(read_end, OUT)
    assert log.size == 0
    assert log.trouble is not None
    assert log.splice(read_end, OUT) == 3
    assert log.trouble is None
    assert log_path(tmp_path, "r").read_bytes() == b"abc"
    os.close(read_end)
    os.close(write_end)
