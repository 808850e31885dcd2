"""How soon a run is gone after its cancel, by each of the means by which processes are known.

In one process with the executor: from the wish to stop a run until all of it that can be known has
ended, is reaped, and its output has been read. "One process" is `sleep`, and "a nasty tree" the 28
processes of `tests/programs/nasty.py`, daemons among them; "TERM" is a stop with the default
policy, of a program that heeds it, "force" kills at once. What a means cannot know of the tree is
counted, and killed afterwards.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import trio
from msgspec import Struct

from bench._served import median
from supervisor.errors import StateDirError
from supervisor.executors.local import LocalExecutor
from supervisor.model import StopRequest, Tracking
from supervisor.outcome import StopCause
from supervisor.processes import procfs
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.spec import RunSpec, StopPolicy
from supervisor.testing import TESTER, a_run, open_console

_NASTY = Path(__file__).parents[1] / "tests" / "programs" / "nasty.py"
_SIZE = 28
_INSTANCE = f"bench-{os.getpid()}"


class Case(Struct, frozen=True):
    """What is cancelled, and how."""

    name: str
    argv: tuple[str, ...]
    ready: bytes
    force: bool


_SLEEP = ("/bin/sh", "-c", "echo ready; exec sleep 600")
_TREE = (sys.executable, "-I", "-S", str(_NASTY), _INSTANCE)
CASES = (
    Case("one process, TERM", _SLEEP, b"ready", force=False),
    Case("one process, force", _SLEEP, b"ready", force=True),
    Case("a nasty tree, force", _TREE, b"ready", force=True),
)


async def cancelled(executor: LocalExecutor, directory: Path, case: Case) -> float:
    """Milliseconds from the wish to the outcome."""
    request = StopRequest(StopCause.CANCEL, StopPolicy(), TESTER, case.force)
    asked = 0.0
    run = a_run(RunSpec(argv=case.argv, cwd="/"), f"run-{time.monotonic_ns()}")
    with open_console(directory, run) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(executor.execute, run, rig.console)
            await rig.wait_output(case.ready)
            asked = time.perf_counter()
            rig.stop.ask(request)
        return (time.perf_counter() - asked) * 1e3


def escaped() -> list[procfs.ProcessStat]:
    """Processes of the nasty tree that are still there."""
    found = []
    for process in procfs.living():
        with suppress(OSError):
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            if _INSTANCE.encode() in words:
                found.append(process)
    return found


async def kill_escaped() -> None:
    """See the end of them."""
    for process in escaped():
        procfs.send_signal(process, "KILL")
        await procfs.wait_ended(process)


async def measure(tracking: Tracking, case: Case, repeat: int) -> str:
    """A cell of the table."""
    launcher = Launcher()
    try:
        tracker, _why = open_tracker(tracking, _INSTANCE, own=launcher.pids)
    except StateDirError:
        return "not to be had here"
    executor = LocalExecutor(launcher, instance=_INSTANCE, drain_s=0.1, tracker=tracker)
    times: list[float] = []
    left = 0
    with tempfile.TemporaryDirectory() as directory:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tracker.keep_reaped)
            await cancelled(executor, Path(directory), case)  # what only the first one pays
            for _ in range(repeat):
                await kill_escaped()
                times.append(await cancelled(executor, Path(directory), case))
                left = max(left, len(escaped()))
            await kill_escaped()
            nursery.cancel_scope.cancel()
    launcher.close()
    tracker.close()
    missed = f", {left} of {_SIZE} get away" if left else ""
    return f"{median(times):.1f} ms{missed}"


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="cancel", description=__doc__)
    parser.add_argument("--repeat", type=int, default=21)
    parser.add_argument("--quick", action="store_true", help="only three times")
    options = parser.parse_args()
    options.repeat = 3 if options.quick else options.repeat
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, medians of {options.repeat}\n")
    print(f"| cancel to gone | {' | '.join(Tracking)} |")
    print(f"|---|{'---|' * len(Tracking)}")
    for case in CASES:
        cells = [trio.run(measure, tracking, case, options.repeat) for tracking in Tracking]
        print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
    print()


if __name__ == "__main__":
    main()
