"""Draws the lifecycle in docs/lifecycle.md from the table that the server goes by.

`python -m tools.lifecycle_page` writes the parts between the markers anew.
"""

import re
from collections.abc import Mapping
from typing import get_args

from supervisor.lifecycle import TRANSITIONS
from supervisor.model import Event, Status
from tools.base import ROOT

PAGE = ROOT / "docs" / "lifecycle.md"
_PART = re.compile(
    r"(<!-- made by tools/lifecycle_page\.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL
)


def diagram(transitions: Mapping[Status, Mapping[type, Status]] = TRANSITIONS) -> str:
    """The table as a Mermaid state diagram; events that lead the same way share an arrow."""
    arrows = ["    [*] --> queued: submitted"]
    for status, moves in transitions.items():
        arrows += [f"    {status} --> [*]"] if not moves else []
        for target in dict.fromkeys(moves.values()):
            events = ", ".join(kind(event) for event, to in moves.items() if to is target)
            arrows.append(f"    {status} --> {target}: {events}")
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


def events() -> str:
    """Every kind of event with what its class says of it, as a Markdown table."""
    rows = [f"| `{kind(event)}` | {_one_line(event.__doc__)} |" for event in get_args(Event)]
    return "\n".join(["| event | says |", "|---|---|", *rows])


def kind(event: type) -> str:
    """The name of an event's class as it is stored and shown."""
    config = event.__struct_config__  # type: ignore[attr-defined] # every event is a Struct
    return str(config.tag)


def filled(page: str) -> str:
    """The page with its drawn parts as the code has them now."""
    parts = {"diagram": diagram(), "events": events()}
    return _PART.sub(lambda part: f"{part[1]}\n{parts[part[2]]}\n\n{part[3]}", page)


def _one_line(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
