"""The page about the lifecycle says what the code does."""

from supervisor.model import Failed, Reason, Status, Succeeded
from tools.lifecycle_page import PAGE, diagram, filled


def test_its_drawn_parts_are_those_of_the_code() -> None:
    """If this fails: `python -m tools.lifecycle_page`."""
    page = PAGE.read_text("utf-8")
    assert filled(page) == page
    assert diagram() in page


def test_it_explains_every_status_and_every_reason() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in (*Status, *Reason) if f"`{name}`" not in page] == []


def test_events_that_lead_the_same_way_share_an_arrow() -> None:
    table: dict[Status, dict[type, Status]] = {
        Status.RUNNING: {Succeeded: Status.FAILED, Failed: Status.FAILED},
        Status.FAILED: {},
    }
    assert diagram(table).splitlines() == [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> queued: submitted",
        "    running --> failed: succeeded, failed",
        "    failed --> [*]",
        "```",
    ]
