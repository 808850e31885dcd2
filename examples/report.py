"""What this machine is busy with: load, memory, disks, processes and its biggest directories.

Reads /proc and the file system, changes nothing. Every line is at most 80 columns wide.
"""

import argparse
import os
import shutil
import stat
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

RESET = "\x1b[0m"
GREY = "\x1b[38;5;243m"
WIDTH = 80


def heading(text: str) -> None:
    """A line with its name."""
    print(f"\n\x1b[1m{text}{RESET} {GREY}{'─' * (WIDTH - len(text) - 1)}{RESET}")


def size(count: float) -> str:
    """Bytes in a form that is four digits at most."""
    for unit in ("B", "K", "M", "G"):
        if count < 1000:
            return f"{count:.0f}{unit}" if unit == "B" else f"{count:.3g}{unit}"
        count /= 1024
    return f"{count:.3g}T"


def gauge(share: float, width: int = 24) -> str:
    """A bar that turns from green over yellow to red."""
    colour = 32 if share < 0.7 else 33 if share < 0.9 else 31
    full = min(width, round(share * width))
    return f"\x1b[{colour}m{'━' * full}{RESET}{GREY}{'━' * (width - full)}{RESET}"


def fit(text: str, width: int) -> str:
    """The text in so many columns, its middle left out if it must be."""
    text = text.encode("ascii", "replace").decode()
    if len(text) > width:
        head = (width - 1) // 2
        text = f"{text[:head]}…{text[head + 1 - width :]}"
    return f"{text:<{width}}"


def machine() -> None:
    """Its name, how long it runs, and its load beside the number of its processors."""
    name = os.uname()
    minutes = int(float(Path("/proc/uptime").read_text().split()[0])) // 60
    hours, days = minutes // 60, minutes // 1440
    up = f"{days} days {hours % 24} h" if days else f"{hours} h {minutes % 60} min"
    print(f"\x1b[1;36m{name.nodename}{RESET}  {name.sysname} {name.release}, up {up}")
    heading("load")
    cpus = os.cpu_count() or 1
    for minutes, load in zip((1, 5, 15), os.getloadavg(), strict=True):
        unit = "minute " if minutes == 1 else "minutes"
        print(f"  {minutes:>2} {unit}  {gauge(load / cpus)}  {load:5.2f} on {cpus} processors")


def memory() -> None:
    """Memory and swap in use."""
    heading("memory")
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {line[0].rstrip(":"): int(line[1]) for line in lines}
    free = kib.get("MemAvailable", kib["MemFree"])
    for name, total, left in (
        ("memory", kib["MemTotal"], free),
        ("swap", kib["SwapTotal"], kib["SwapFree"]),
    ):
        if total:
            used = total - left
            text = f"{size(1024 * used):>5} of {size(1024 * total):>5}"
            print(f"  {name:<10}  {gauge(used / total)}  {text}  {used / total:4.0%}")


def mounts() -> Iterator[str]:
    """Where disks are mounted, each device once."""
    seen = set()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, place = line.split()[:2]
        place = place.replace("\\040", " ")
        if (device.startswith("/dev/") or place == "/") and device not in seen:
            seen.add(device)
            yield place


def disks() -> None:
    """How full each disk is."""
    heading("disks")
    for place in mounts():
        try:
            total, used, _ = shutil.disk_usage(place)
        except OSError as error:
            print(f"\x1b[33m{place}: {error.strerror}{RESET}", file=sys.stderr)
            continue
        if total:
            share = used / total
            text = f"{size(used):>5} of {size(total):>5}  {share:4.0%}  {fit(place, 22).rstrip()}"
            print(f"  {gauge(share, 20)}  {text}")


def processes() -> None:
    """Those that hold most memory."""
    heading("processes by memory")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            pages = int((entry / "statm").read_text().split()[1])
            words = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        except (OSError, IndexError):
            continue  # no process, or one that has just ended
        if entry.name.isdigit() and words:
            command = words.decode("utf-8", "replace")
            found.append((pages * os.sysconf("SC_PAGESIZE"), int(entry.name), command))
    for used, pid, command in sorted(found, reverse=True)[:6]:
        print(f"  {size(used):>5}  {GREY}{pid:>7}{RESET}  {fit(command, 60).rstrip()}")


def weigh(top: Path, seconds: float) -> tuple[dict[str, int], int, bool]:
    """Bytes on disk below each directory of `top`, on its file system, so far as time allows.

    Also how many directories could not be read, and whether the time sufficed. All are walked
    side by side, so that none is left at nothing because another is large.
    """
    ends = time.monotonic() + seconds
    device = top.lstat().st_dev
    with os.scandir(top) as entries:
        inside = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    inside = [entry for entry in inside if entry.stat(follow_symlinks=False).st_dev == device]
    waiting = deque((entry.path, entry.name) for entry in inside)
    sizes = dict.fromkeys((entry.name for entry in inside), 0)
    linked: set[int] = set()
    unreadable = 0
    while waiting and time.monotonic() < ends:
        directory, name = waiting.popleft()
        try:
            with os.scandir(directory) as entries:
                found = [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError:
            unreadable += 1
            continue
        for path, facts in found:
            if facts.st_dev != device or facts.st_ino in linked:
                continue
            if stat.S_ISDIR(facts.st_mode):
                waiting.append((path, name))
            elif facts.st_nlink > 1:
                linked.add(facts.st_ino)
            sizes[name] += facts.st_blocks * 512
    return sizes, unreadable, not waiting


def directories(top: Path, seconds: float) -> None:
    """The biggest directories directly in `top`."""
    heading(fit(f"biggest directories in {top}", WIDTH - 10).rstrip())
    try:
        sizes, unreadable, complete = weigh(top, seconds)
    except OSError as error:
        sys.exit(f"\x1b[31m{top}: {error.strerror}{RESET}")
    biggest = sorted(((found, name) for name, found in sizes.items()), reverse=True)[:8]
    for found, name in biggest:
        bar = f"\x1b[34m{'━' * round(24 * found / (biggest[0][0] or 1))}{RESET}"
        print(f"  {' ' if complete else '≥'}{size(found):>5}  {fit(name, 36)}  {bar}")
    if unreadable:
        print(f"\x1b[33m{unreadable} directories could not be read{RESET}", file=sys.stderr)
    if not complete:
        print(f"\x1b[33m{seconds:g} seconds were not enough to count all{RESET}", file=sys.stderr)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("path", type=Path, nargs="?", default=Path("/var"))
parser.add_argument("--seconds", type=float, default=10.0)
options = parser.parse_args()

machine()
memory()
disks()
processes()
directories(options.path, options.seconds)
