"""How fast a program's output gets from its pipe into the log, unwatched and followed.

Each way moves the output of a real process, in turn with the others, several times; the medians
count. CPU is that of the moving process alone, without the writer. `cat` and `read and write` are
what capture is measured against: the machine's own way, and the usual loop of an event-driven
server. The log is synced every second, as the server does.
"""

import argparse
import fcntl
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from msgspec import Struct

from supervisor.log.capture import capture, keep_synced
from supervisor.log.logfile import LogReader
from supervisor.log.logwriter import LogWriter
from supervisor.model import Stream

KIB = 1024
MB = 1_000_000
READ_SIZE = 128 * KIB

BULK = """
import os
block = b'x' * 65536
for _ in range({size} // 65536): os.write(1, block)
"""
LINES = """
out = open(1, 'wb', buffering=4096)
line = b'y' * 99 + b'\\n'
for _ in range({size} // 100): out.write(line)
"""
UNBUFFERED = """
import os
line = b'y' * 99 + b'\\n'
for _ in range({size} // 100): os.write(1, line)
"""


class Writer(Struct, frozen=True):
    """A program that writes `size_mb` MB, as Python source with a place for the size in bytes."""

    name: str
    source: str
    size_mb: int


WRITERS = (
    Writer("64 KiB writes", BULK, 1000),
    Writer("100-byte lines, 4 KiB buffer", LINES, 400),
    Writer("100-byte lines, unbuffered", UNBUFFERED, 60),
)

Move = Callable[[int, Path], Awaitable[None]]


class Sample(Struct, frozen=True):
    """One measurement: throughput, and the CPU time of the process that moved the bytes."""

    mb_per_s: float
    cpu_s_per_gb: float


async def unwatched(fd: int, directory: Path) -> None:
    """Capture alone, as for a run that nobody watches."""
    log = LogWriter.create(directory, "run")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_synced, [log], 1.0)
        await capture(fd, log, Stream.STDOUT)
        nursery.cancel_scope.cancel()
    log.close()


async def followed(fd: int, directory: Path) -> None:
    """Capture, with one viewer that reads every byte back as it comes."""
    log = LogWriter.create(directory, "run")
    ended = False

    async def follow() -> None:
        at = 0
        with LogReader.open(directory, "run") as reader:
            while True:
                last = ended
                if pieces := reader.read(at, READ_SIZE):
                    at = pieces[-1].next
                    await trio.lowlevel.checkpoint()
                elif last:
                    return
                else:
                    await log.grew.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_synced, [log], 1.0)
        async with trio.open_nursery() as viewers:
            viewers.start_soon(follow)
            await capture(fd, log, Stream.STDOUT)
            ended = True
            log.grew.fire()
        nursery.cancel_scope.cancel()
    log.close()


async def read_and_write(fd: int, directory: Path) -> None:
    """The usual loop: bytes through Python, appended to a file; no index, no sync."""
    os.set_blocking(fd, False)
    out = os.open(directory / "copy", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while True:
        await trio.lowlevel.wait_readable(fd)
        data = os.read(fd, READ_SIZE)
        if not data:
            break
        os.write(out, data)
    os.close(out)


async def cat(fd: int, directory: Path) -> None:
    """What the machine does by itself."""
    with (directory / "copy").open("wb") as out:
        await trio.run_process(["cat"], stdin=fd, stdout=out)


WAYS: dict[str, Move] = {
    "cat": cat,
    "read and write": read_and_write,
    "capture, unwatched": unwatched,
    "capture, followed": followed,
}


def _cpu_s() -> float:
    """CPU time so far of this process and of the children it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(writer: Writer, move: Move, where: Path, pipe_size: int) -> Sample:
    """Let `writer` write through a pipe of `pipe_size` bytes, and `move` take it away."""
    size = writer.size_mb * MB
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, pipe_size)
    with TemporaryDirectory(dir=where) as directory:
        command = [sys.executable, "-c", writer.source.format(size=size)]
        with subprocess.Popen(command, stdout=write_end) as process:
            os.close(write_end)
            cpu, start = _cpu_s(), time.perf_counter()
            trio.run(move, read_end, Path(directory))
            taken = time.perf_counter() - start
            cpu = _cpu_s() - cpu
            process.wait()
    os.close(read_end)
    return Sample(size / MB / taken, cpu / (size / 1e9))


def median(samples: list[Sample]) -> Sample:
    """The medians of both figures."""
    return Sample(
        statistics.median(sample.mb_per_s for sample in samples),
        statistics.median(sample.cpu_s_per_gb for sample in samples),
    )


def main() -> None:
    """Measure everything and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="pipe_to_disk", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=None, help="where logs are written")
    parser.add_argument("--pipe-kib", type=int, default=64)
    parser.add_argument("--quick", action="store_true", help="only once")
    options = parser.parse_args()
    options.repeat = 1 if options.quick else options.repeat
    print(f"Pipe to disk, pipes of {options.pipe_kib} KiB, {os.cpu_count()} cores, ", end="")
    print(f"medians of {options.repeat}: MB/s (CPU s/GB)\n")
    print("| writer |", " | ".join(WAYS), "|")
    print("|---" * (len(WAYS) + 1) + "|")
    for writer in WRITERS:
        samples: dict[str, list[Sample]] = {name: [] for name in WAYS}
        for _ in range(options.repeat):
            for name, move in WAYS.items():
                sample = measure(writer, move, options.directory, options.pipe_kib * KIB)
                samples[name].append(sample)
        cells = (
            f"{it.mb_per_s:.0f} ({it.cpu_s_per_gb:.2f})" for it in map(median, samples.values())
        )
        print(f"| {writer.name} |", " | ".join(cells), "|", flush=True)
    print()


if __name__ == "__main__":
    main()
