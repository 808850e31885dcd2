"""The server killed at every point of its path and at random, for as long as asked.

`--seconds` is how long, `--seed` what is decided by chance. It ends with 1 as soon as a promise is
broken, and then leaves the state directory and says which promise.
"""

import argparse
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

from tests.crash.points import FIRST_POINTS, POINTS
from tests.crash.trial import Figures, attempt


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="bench crash")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    directory = Path(mkdtemp(prefix="runwire-crash-"))
    figures = attempt(directory, seed=arguments.seed, seconds=arguments.seconds, tell=_progress)
    _report(figures)
    if figures.broken:
        sys.exit("\n".join([f"broken, see {directory}:", *figures.broken]))
    shutil.rmtree(directory)


def _progress(figures: Figures) -> None:
    if sys.stderr.isatty():
        deaths = figures.deaths.total()
        print(f"\r{figures.seconds:.0f} s, {deaths} deaths", end="", file=sys.stderr, flush=True)


def _report(figures: Figures) -> None:
    points = [point for point in POINTS if point not in FIRST_POINTS]
    reached = [point for point in points if figures.deaths[point]]
    print(f"{figures.seconds:.0f} s, {figures.rounds} rounds, {figures.deaths.total()} deaths:")
    print(f"  at {len(reached)} of {len(points)} points, each {_range(figures)} times;")
    print(f"  at any moment {figures.deaths['any moment']} times")
    if figures.stops:
        print(f"  told to stop, and ended well, {figures.stops} times;")
    missed = [point for point in points if point not in reached]
    if missed:
        print(f"  never {', '.join(missed)}")
    ends = ", ".join(f"{count} {end}" for end, count in sorted(figures.ended.items()))
    print(f"{figures.runs} runs: {ends}; {figures.deleted} deleted")
    print(f"{len(figures.broken)} promises broken")


def _range(figures: Figures) -> str:
    counts = [figures.deaths[point] for point in POINTS if figures.deaths[point]]
    return f"{min(counts)} to {max(counts)}" if counts else "0"


if __name__ == "__main__":
    main()
