"""A run's page tells what the run used, by what that was measured, and what it might have used."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.ui.browsing import Tab
from tests.ui.serving import Server


def fact(page: Page, name: str) -> Locator:
    """The value that stands beside a name."""
    return page.locator("dl > div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


def test_what_a_run_used_is_told_when_it_has_ended(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(shell="i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"))
    tab.complete()
    expect(fact(page, "CPU")).to_have_text(re.compile(r"^[0-9.]+ m?s$"))
    title = fact(page, "CPU").locator("span").get_attribute("title")
    assert title is not None
    assert re.search("(all its processes|those it waited for)$", title)
    expect(fact(page, "Wrote")).to_have_text("0 B")


def test_the_limits_of_a_run_are_told(tab: Tab, server: Server) -> None:
    limits = {"nofile": 1000, "core": 0}
    page = tab.open_run(server.start(shell="ulimit -n", limits=limits))
    tab.complete()
    assert tab.output() == ["1000"]
    expect(fact(page, "Limits")).to_have_text("nofile 1,000, core 0 B")
