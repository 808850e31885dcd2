"""What benchmarks have measured, kept in JSON files for `summary`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def keep(name: str, figures: Mapping[str, float]) -> None:
    """Keep the figures of one benchmark, for `summary`, and print them as a Markdown table."""
    RESULTS.mkdir(exist_ok=True)
    on = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    kept = {"on": on, "figures": dict(figures)}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1), "utf-8")
    print(f"{on}\n\n" + "\n".join(table(["what", "figure"], figures.items())) + "\n", flush=True)


def kept(name: str) -> dict[str, Any]:
    """What a benchmark has kept; empty if it has not run."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table; numbers with three digits that count."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]


def _cell(value: object) -> str:
    return shown(value) if isinstance(value, float | int) else str(value)


def shown(value: float) -> str:
    """A number with three digits that count, and no exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
