"""The list of runs: live, filtered, page by page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Browser, Locator, Page, Route, expect

from tests.ui.browsing import Tab, open_tab
from tests.ui.serving import Server, serving


def row(page: Page, run_id: str) -> Locator:
    return page.locator("tbody tr", has=page.locator(f"a[href$='/runs/{run_id}']"))


def test_runs_appear_and_change_as_it_happens(tab: Tab, server: Server) -> None:
    old = server.start(shell="true")
    page = tab.open()
    expect(row(page, old)).to_be_visible()
    run = server.start(job="forever")
    expect(row(page, run)).to_contain_text("running")
    assert page.locator("tbody tr").first.locator("a").get_attribute("href") == (
        f"{server.url}ui/runs/{run}"
    )
    server.api.post(f"runs/{run}/cancel")
    expect(row(page, run)).to_contain_text("cancelled")
    expect(row(page, run)).to_contain_text("SIGTERM")


def test_without_the_feed_the_list_is_asked_for_again(tab: Tab, server: Server) -> None:
    tab.page.route_web_socket("**/events", lambda socket: socket.close(code=1011))
    page = tab.open()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    run = server.start(shell="sleep 600")
    expect(row(page, run)).to_contain_text("running")
    server.api.post(f"runs/{run}/cancel")
    expect(row(page, run)).to_contain_text("cancelled")


def test_each_status_has_a_glyph_a_word_and_a_colour(tab: Tab, server: Server) -> None:
    runs = {
        "succeeded": server.start(shell="true"),
        "failed": server.start(shell="exit 3"),
        "running": server.start(shell="sleep 600"),
        "cancelled": server.start(shell="sleep 600"),
    }
    server.api.post(f"runs/{runs['cancelled']}/cancel")
    page = tab.open()
    colours = set()
    for status, run in runs.items():
        badge = row(page, run).locator(".badge")
        expect(badge).to_contain_text(status)
        colours.add(badge.evaluate("badge => getComputedStyle(badge).color"))
    assert len(colours) == 4
    expect(row(page, runs["failed"])).to_contain_text("3")


@pytest.mark.parametrize("width", [390, 721, 820, 1001, 1280])
def test_what_ran_can_be_read_at_any_width(tab: Tab, server: Server, width: int) -> None:
    server.ended(server.start(shell="sleep 600", timeout="0.1s"))
    run = server.start(job="forever")
    page = tab.open()
    page.set_viewport_size({"width": width, "height": 800})
    box = row(page, run).locator("td.job").bounding_box()
    assert box is not None
    assert box["width"] > 150
    expect(row(page, run).get_by_role("button", name="Cancel")).to_be_in_viewport(ratio=1)


def test_filters_are_in_the_address_and_apply_to_what_comes(tab: Tab, server: Server) -> None:
    failed = server.start(job="failing")
    other = server.start(shell="echo needle")
    for run in (failed, other):
        server.ended(run)
    page = tab.open()
    expect(row(page, other)).to_be_visible()
    page.get_by_role("button", name="Failed", exact=True).click()
    expect(row(page, other)).to_be_hidden()
    expect(row(page, failed)).to_be_visible()
    assert page.url.endswith("/ui/?status=failed")

    page.reload()
    expect(page.get_by_role("button", name="Failed", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(row(page, other)).to_be_hidden()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("searchbox").fill("needle")
    expect(page).to_have_url(re.compile(r"\?q=needle$"))
    expect(row(page, failed)).to_be_hidden()
    late = server.start(shell="echo another needle")
    hidden = server.start(job="both")
    expect(row(page, late)).to_contain_text("succeeded")
    server.ended(hidden)
    expect(row(page, hidden)).to_be_hidden()

    page.get_by_role("searchbox").fill("no run has this")
    expect(page.get_by_role("heading", name="No run matches")).to_be_visible()
    page.get_by_role("button", name="Show all runs").click()
    expect(row(page, failed)).to_be_visible()


def test_a_job_s_runs_are_one_click_away(tab: Tab, server: Server) -> None:
    run = server.start(job="both")
    other = server.start(job="failing")
    page = tab.open("jobs")
    card = page.locator("li", has=page.get_by_role("heading", name="both"))
    card.get_by_role("link", name="All its runs").click()
    expect(row(page, run)).to_be_visible()
    expect(row(page, other)).to_be_hidden()
    page.get_by_role("button", name="Do not filter by job both").click()
    expect(row(page, other)).to_be_visible()


def test_jobs_tell_how_their_last_run_does_as_it_happens(tab: Tab, server: Server) -> None:
    server.ended(server.start(job="failing"))
    page = tab.open("jobs")
    card = page.locator("li", has=page.get_by_role("heading", name="failing"))
    expect(card.locator(".badge")).to_have_text("✕failed")
    card = page.locator("li", has=page.get_by_role("heading", name="forever"))
    run = server.start(job="forever")
    expect(card.locator(".badge")).to_have_text("running")
    server.api.post(f"runs/{run}/cancel")
    expect(card.locator(".badge")).to_have_text("⊘cancelled")
    card.locator("a.last").click()
    expect(page).to_have_url(re.compile(f"/runs/{run}$"))


def test_a_run_is_cancelled_from_the_list_and_run_again(tab: Tab, server: Server) -> None:
    run = server.start(job="forever")
    page = tab.open()
    row(page, run).get_by_role("button", name="Cancel").click()
    expect(row(page, run)).to_contain_text("cancelled")
    row(page, run).get_by_role("button", name="Run again").click()
    expect(page.get_by_role("heading", name="forever")).to_be_visible()
    tab.expect_text("ready")


# Says when an answer to a cancel was dealt with.
MARK_ANSWER = """
const json = Response.prototype.json;
Response.prototype.json = async function () {
  const body = await json.call(this);
  const dealtWith = () => { document.documentElement.dataset.answered = 'true'; };
  if (this.url.endsWith('/cancel')) setTimeout(dealtWith);
  return body;
};
"""


@pytest.mark.parametrize("page_of", ["the list", "the run"])
def test_an_answer_that_comes_late_takes_nothing_back(
    tab: Tab, server: Server, tmp_path: Path, page_of: str
) -> None:
    """It tells of a run that is being cancelled, after the news that the run has ended."""
    wait = f"until [ -e {tmp_path}/go ]; do sleep 0.02; done"
    line = f"trap '{wait}; exit 1' TERM; echo ready; while :; do sleep 0.02; done"
    run = server.start(shell=line, stop={"grace": "1h"})
    while server.log(run) != b"ready\n":
        pass
    answers: list[tuple[Route, APIResponse]] = []
    tab.page.route("**/cancel", lambda route: answers.append((route, route.fetch())))
    tab.page.add_init_script(MARK_ANSWER)
    page = tab.open() if page_of == "the list" else tab.open_run(run)
    place = row(page, run) if page_of == "the list" else page.locator(".page-head")
    place.get_by_role("button", name="Cancel").click()
    while not answers:
        page.wait_for_timeout(50)
    (tmp_path / "go").touch()
    expect(place.locator(".badge")).to_have_text("⊘cancelled")
    route, answer = answers[0]
    assert answer.json()["ended_at"] is None
    route.fulfill(response=answer)
    expect(page.locator("html[data-answered]")).to_have_count(1)
    expect(place.locator(".badge")).to_have_text("⊘cancelled")
    expect(place.get_by_role("button", name="Run again")).to_be_enabled()


def test_a_click_anywhere_in_a_row_opens_the_run(tab: Tab, server: Server) -> None:
    run = server.start(job="both")
    page = tab.open()
    row(page, run).locator("td.when").click()
    expect(page).to_have_url(re.compile(f"/runs/{run}$"))
    page.go_back()
    expect(row(page, run)).to_be_visible()


def test_older_runs_come_page_by_page_and_new_ones_do_not_move_what_is_read(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(tmp_path) as server, open_tab(browser, server) as tab:
        runs = [server.start(shell="true") for _ in range(60)]
        for run in runs:
            server.ended(run)
        page = tab.open()
        expect(page.locator("tbody tr")).to_have_count(50)
        page.get_by_role("button", name="Older runs").click()
        expect(page.locator("tbody tr")).to_have_count(60)
        expect(page.get_by_role("button", name="Older runs")).to_be_hidden()
        row(page, runs[0]).scroll_into_view_if_needed()
        place = row(page, runs[0]).bounding_box()
        late = server.start(shell="true")
        page.get_by_role("button", name="↑ 1 new run").wait_for()
        assert row(page, late).count() == 0
        assert row(page, runs[0]).bounding_box() == place
        page.get_by_role("button", name="↑ 1 new run").click()
        expect(row(page, late)).to_be_in_viewport()


def test_a_server_without_runs_says_how_to_make_one(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, jobs="") as server, open_tab(browser, server) as tab:
        page = tab.open()
        expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
        expect(page.locator("pre").nth(1)).to_contain_text(f"curl {server.url}runs")
        run = server.start(shell="true")
        expect(row(page, run)).to_be_visible()
        tab.open("jobs")
        expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
