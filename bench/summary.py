"""What the benchmarks before it have measured, against what Runwire should reach, and a picture.

It measures nothing: `streams`, `crowds`, `fairness`, `spawns` and `pages` keep what they measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from bench._kept import RESULTS, kept, shown, table
from bench._picture import Line, Panel, picture
from bench._served import median

BASE = "Node + Socket.IO"
US = "Runwire, JSON"
PICTURE = Path(__file__).parents[1] / "docs" / "img" / "performance.svg"
_CROWDS = (1, 10, 100, 500)

Samples = dict[str, dict[str, list[dict[str, float]]]]


class Goal(Struct, frozen=True):
    """What should be reached: `is` at least, or at most, `bar`, in `unit`."""

    what: str
    bar: float
    unit: str
    at_least: bool
    found: Callable[[], float | None]

    def row(self) -> list[object]:
        """A line of the table."""
        found = self.found()
        sign = "at least" if self.at_least else "at most"
        told = "not measured" if found is None else f"{shown(found)}{self.unit}"
        reached = found is not None and (found >= self.bar) is self.at_least
        answer = "" if found is None else "yes" if reached or found == self.bar else "no"
        return [self.what, f"{sign} {self.bar:g}{self.unit}", told, answer]


def samples() -> Samples:
    """What `streams` has kept."""
    found: Samples = kept("streams").get("samples", {})
    return found


def figure(measurement: str, server: str, name: str) -> float | None:
    """The median of a figure of `streams`; None if it was not measured."""
    taken = samples().get(measurement, {}).get(server)
    return median([sample[name] for sample in taken]) if taken else None


def ratio(measurement: str, name: str) -> Callable[[], float | None]:
    """A figure of ours to that of BASE."""

    def found() -> float | None:
        ours, theirs = figure(measurement, US, name), figure(measurement, BASE, name)
        return ours / theirs if ours is not None and theirs else None

    return found


def one(benchmark: str, begins: str, ends: str = "") -> Callable[[], float | None]:
    """A figure that another benchmark has kept, by how its name begins and ends."""

    def found() -> float | None:
        for name, value in kept(benchmark).get("figures", {}).items():
            if name.startswith(begins) and name.endswith(ends):
                return float(value)
        return None

    return found


def spawn_ratio() -> float | None:
    """Our runs a second to Node's spawns, 50 at once."""
    ours, theirs = (one("spawns", f"{who}, 50 at once")() for who in ("Runwire", "Node spawn"))
    return ours / theirs if ours and theirs else None


GOALS = (
    Goal("lines, 1 viewer, MB/s", 1.4, "x", at_least=True, found=ratio("lines, 1 viewer", "MB/s")),
    Goal(
        "lines, 10 viewers, MB/s", 1.5, "x", at_least=True, found=ratio("lines, 10 viewers", "MB/s")
    ),
    Goal(
        "single lines, 1 viewer, MB/s",
        2,
        "x",
        at_least=True,
        found=ratio("unbuf, 1 viewer", "MB/s"),
    ),
    Goal(
        "server CPU per MB, 10 viewers",
        0.5,
        "x",
        at_least=False,
        found=ratio("lines, 10 viewers", "CPU ms/MB"),
    ),
    Goal(
        "latency p50, 1 viewer",
        0.85,
        "x",
        at_least=False,
        found=ratio("latency, 1 viewer", "p50 ms"),
    ),
    Goal(
        "latency p50, 100 viewers",
        0.9,
        "x",
        at_least=False,
        found=ratio("latency, 100 viewers", "p50 ms"),
    ),
    Goal(
        "latency p99, 100 viewers",
        0.6,
        "x",
        at_least=False,
        found=ratio("latency, 100 viewers", "p99 ms"),
    ),
    Goal(
        "memory with a stalled viewer, 200 MB",
        0.2,
        "x",
        at_least=False,
        found=ratio("lines, 2 viewers, 1 of them stalled", "peak MiB"),
    ),
    Goal("runs of `true`, 50 at once, to Node's spawn", 1, "x", at_least=True, found=spawn_ratio),
    Goal(
        "first text of a 1 GB log in a browser",
        1,
        " s",
        at_least=False,
        found=one("pages", "a finished log", "screen, s"),
    ),
    Goal("cancel to the tree gone", 50, " ms", at_least=False, found=one("spawns", "cancel to")),
    Goal(
        "start with 10,000 recorded runs",
        1,
        " s",
        at_least=False,
        found=one("crowds", "start of a server with", "recorded runs, s"),
    ),
    Goal(
        "added to p99 of 100 viewers by searches of 1 GB",
        10,
        " ms",
        at_least=False,
        found=one("fairness", "added by searches"),
    ),
)


def lines(measurement: str, name: str) -> Iterator[Line]:
    """A line of the picture for each server: a figure of `streams` against viewers."""
    for server in (BASE, "Node + ws, JSON", US, "Runwire, binary"):
        points = [
            (viewers, value)
            for viewers in _CROWDS
            if (value := figure(measurement.format(_crowd(viewers)), server, name)) is not None
        ]
        yield Line(server, tuple(points))


def _crowd(viewers: int) -> str:
    return f"{viewers} viewers" if viewers > 1 else "1 viewer"


def main() -> None:
    """Print the table, and keep it with all figures and the picture."""
    parser = argparse.ArgumentParser(prog="summary", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave the picture in docs/ alone")
    options = parser.parse_args()
    told = kept("streams").get("on", "`streams` has not run")
    rows = [goal.row() for goal in GOALS]
    text = table([f"against {BASE} where it is a ratio", "should be", "is", "reached"], rows)
    print(told + "\n\n" + "\n".join(text) + "\n")
    names = ("streams", "crowds", "fairness", "spawns", "pages")
    everything = {"goals": rows} | {name: kept(name) for name in names}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "summary.json").write_text(json.dumps(everything, indent=1), "utf-8")
    drawn = picture(
        Panel("Latency, median, ms", tuple(lines("latency, {}", "p50 ms"))),
        Panel("Lines to each viewer, MB/s", tuple(lines("lines, {}", "MB/s"))),
        f"Against viewers; {told}",
    )
    (RESULTS / "performance.svg" if options.quick else PICTURE).write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
