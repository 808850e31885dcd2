"""A run's page: its output as it comes, how it does, and what can be done with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.browsing import Tab
from tests.ui.serving import Server

# As web/static/terminal/theme.js has them, in the dark theme.
WHITE, RED, CYAN = "rgb(230, 237, 243)", "rgb(255, 142, 136)", "rgb(57, 197, 207)"


def colour_of(page: Page, text: str) -> str:
    """The colour in which a text stands in the terminal."""
    span = page.locator(".xterm-rows span", has_text=text).first
    expect(span).to_be_visible()
    found: str = span.evaluate("span => getComputedStyle(span).color")
    return found


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def test_both_streams_are_shown_as_they_come_each_in_its_colour(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(job="both"))
    expect(page.get_by_role("heading", name="both")).to_be_visible()
    tab.complete()
    lines = [re.sub(r"pid \d+", "pid N", line) for line in tab.text().splitlines()]
    assert (lines[0], lines[-1]) == ("▸ started, pid N", "▸ succeeded")
    # The order of two pipes is the order in which they were read.
    assert sorted(tab.output()) == ["again", "to stderr", "to stdout"]
    assert colour_of(page, "to stdout") == WHITE
    assert colour_of(page, "to stderr") == RED
    assert colour_of(page, "▸") == CYAN
    expect(page.locator(".badge")).to_have_text("✓succeeded")


def test_the_gutter_numbers_lines_marks_stderr_and_tells_the_time(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(job="both"))
    tab.complete()
    rows = page.locator(".rt-row")
    expect(rows.nth(3).locator(".rt-number")).to_have_text("3")
    for i, line in enumerate(tab.text().splitlines()):
        number = str(tab.output().index(line) + 1) if line in tab.output() else ""
        expect(rows.nth(i).locator(".rt-number")).to_have_text(number)
        expect(rows.nth(i).locator(".rt-mark")).to_have_text("E" if line == "to stderr" else "")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", rows.nth(1).locator(".rt-time").inner_text())
    assert rows.last.inner_text().strip() == ""

    button(page, "Time").click()
    expect(rows.nth(1).locator(".rt-time")).to_be_hidden()
    page.reload()
    tab.complete()
    expect(rows.nth(1).locator(".rt-time")).to_be_hidden()


def test_a_wrapped_line_has_one_number_and_keeps_it_when_the_window_changes(
    tab: Tab, server: Server
) -> None:
    page = tab.open_run(server.start(shell="printf 'x%.0s' $(seq 300); echo; echo short"))
    tab.complete()
    labels = page.locator(".rt-number")
    for width in (1280, 700, 1000):
        page.set_viewport_size({"width": width, "height": 800})
        wrapped = 300 // int(page.locator("run-terminal").evaluate("terminal => terminal.columns"))
        # The line itself, the rows it goes on in, and the next line.
        expect(labels.nth(1)).to_have_text("1")
        expect(labels.nth(1 + wrapped + 1)).to_have_text("2")
        found = [text.strip() for text in labels.all_inner_texts()]
        assert [text for text in found if text] == ["1", "2"]


def test_following_stops_when_scrolled_and_offers_the_way_back(
    tab: Tab, server: Server, tmp_path: Path
) -> None:
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    run = server.start(shell=f"seq -f 'line %g' 200; {wait}; echo more; echo and more; sleep 600")
    page = tab.open_run(run)
    tab.expect_text("line 200")
    follow = button(page, "Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    first = page.locator(".xterm-rows > div").first
    shown = first.inner_text()
    page.locator(".rt-screen").hover()
    page.mouse.wheel(0, -800)
    expect(follow).to_have_attribute("aria-pressed", "false")
    expect(button(page, "↓ To the end")).to_be_visible()
    expect(first).not_to_have_text(shown)
    top = first.inner_text()

    (tmp_path / "go").touch()
    tab.expect_text("and more")
    assert first.inner_text() == top
    button(page, "↓ 2 new lines").click()
    expect(follow).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".xterm-rows")).to_contain_text("and more")
    expect(page.locator(".rt-jump")).to_be_hidden()


def test_cancelling_goes_through_its_stages(tab: Tab, server: Server) -> None:
    run = server.start(job="stubborn")
    page = tab.open_run(run)
    tab.expect_text("ready")
    button(page, "Cancel").click()
    expect(button(page, "Kill now")).to_be_visible()
    expect(page.locator(".badge")).to_have_text("cancelling")
    expect(page.locator(".cancel-line")).to_contain_text("SIGTERM sent for devtoken")
    # Instead of the server, which would wait for its grace.
    server.api.post(f"runs/{run}/signal", json={"signal": "KILL"})
    tab.complete()
    expect(page.locator(".badge")).to_have_text("⊘cancelled")
    expect(page.locator(".facts")).to_contain_text("SIGKILL")
    expect(page.locator(".cancel-line")).to_be_hidden()
    expect(button(page, "Kill now")).to_be_hidden()
    assert "▸ cancel asked for by devtoken" in tab.text()
    assert server.run(run)["status"] == "cancelled"


def test_a_run_is_paused_and_resumed(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(shell="echo ready; sleep 600"))
    tab.expect_text("ready")
    button(page, "Pause").click()
    expect(page.locator(".badge")).to_have_text("‖paused")
    tab.expect_text("▸ paused")
    button(page, "Resume").click()
    expect(page.locator(".badge")).to_have_text("running")
    tab.expect_text("▸ resumed")
    button(page, "Pause").click()
    expect(page.locator(".badge")).to_have_text("‖paused")
    button(page, "Cancel").click()
    tab.complete()
    expect(page.locator(".badge")).to_have_text("⊘cancelled")
    expect(button(page, "Pause")).to_be_hidden()
    expect(button(page, "Resume")).to_be_hidden()


def test_kill_now_does_not_wait_for_the_grace(tab: Tab, server: Server) -> None:
    jobs = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
    run = server.start(shell=jobs, stop={"grace": "1h"})
    page = tab.open_run(run)
    tab.expect_text("ready")
    button(page, "Cancel").click()
    expect(page.locator(".cancel-line")).to_contain_text("SIGKILL follows in")
    button(page, "Kill now").click()
    tab.complete()
    expect(page.locator(".badge")).to_have_text("⊘cancelled")
    receipt = page.locator(".receipt")
    expect(receipt.locator("summary")).to_contain_text("Cancelled by devtoken: SIGTERM, SIGKILL")
    receipt.locator("summary").click()
    lines = receipt.locator("li")
    expect(lines).to_have_count(4)
    expect(lines.nth(0)).to_contain_text("asked for by devtoken")
    expect(lines.nth(1)).to_contain_text("to be killed at once, by devtoken")
    expect(lines.nth(2)).to_contain_text(re.compile(r"SIGTERM to .*: sent; .* later pids \d+"))
    expect(lines.nth(3)).to_contain_text(re.compile(r"SIGKILL to .*: sent; .* nobody was left"))


def test_a_cancel_that_fails_is_told_and_can_be_tried_again(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(job="forever"))
    tab.expect_text("ready")
    tab.forgive("ERR_FAILED")
    page.route("**/cancel", lambda route: route.abort())
    button(page, "Cancel").click()
    expect(page.locator(".cancel-line")).to_contain_text(
        "Not cancelled. The server does not answer"
    )
    page.unroute("**/cancel")
    button(page, "Cancel").click()
    tab.complete()
    expect(page.locator(".badge")).to_have_text("⊘cancelled")


def test_a_failure_says_how_and_why(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(job="failing"))
    tab.complete()
    expect(page.locator(".badge")).to_have_text("✕failed")
    expect(page.locator(".facts")).to_contain_text("Exit3")
    missing = server.start(command=["no-such-program"])
    tab.open_run(missing)
    tab.complete()
    expect(page.locator(".why")).to_contain_text('Cannot find the program "no-such-program"')


def test_title_and_icon_carry_the_status(tab: Tab, server: Server) -> None:
    run = server.start(job="forever")
    page = tab.open_run(run)
    expect(page).to_have_title("▸ running · forever · Runwire")
    icon = page.locator("link[rel=icon]")
    running = icon.get_attribute("href")
    server.api.post(f"runs/{run}/cancel")
    expect(page).to_have_title("⊘ cancelled · forever · Runwire")
    assert icon.get_attribute("href") != running
    page.get_by_role("link", name="Jobs").click()
    expect(page).to_have_title("Jobs · Runwire")


def test_run_again_shows_the_new_run(tab: Tab, server: Server) -> None:
    run = server.start(job="both")
    page = tab.open_run(run)
    tab.complete()
    button(page, "Run again").click()
    expect(page.locator(".facts")).to_contain_text("Attempt2")
    tab.complete()
    assert run not in page.url
    page.get_by_role("link", name=run).click()
    expect(page.locator(".facts")).not_to_contain_text("Attempt")


def test_the_raw_log_is_downloaded_byte_for_byte(tab: Tab, server: Server) -> None:
    run = server.start(shell="printf 'a\\377\\033[31mb'; printf 'c' >&2; head -c 300000 /dev/zero")
    page = tab.open_run(run)
    tab.complete()
    with page.expect_download() as download:
        button(page, "Raw ↓").click()
    assert download.value.suggested_filename == f"{run}.log"
    assert download.value.path().read_bytes() == server.log(run)
    expect(button(page, "Raw ↓")).to_be_enabled()


def test_queued_and_silent_runs_say_why_nothing_is_shown(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(shell="sleep 600"))
    expect(page.locator(".rt-empty")).to_contain_text("No output yet · running for")
    tab.open_run(server.start(shell="true"))
    tab.complete()
    expect(page.locator(".rt-empty")).to_have_text("This run wrote no output.")


@pytest.mark.parametrize("path", ["runs/no-such-run", "nothing"])
def test_what_is_not_there_is_said_in_words(tab: Tab, path: str) -> None:
    tab.forgive("404")
    page = tab.open(path)
    expect(page.get_by_role("heading")).to_contain_text("There is no such")
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_keys_work_in_the_terminal_and_tab_leaves_it(tab: Tab, server: Server) -> None:
    run = server.start(shell="seq -f 'line %g' 500")
    server.ended(run)
    page = tab.open_run(run)
    tab.complete()
    rows = page.locator(".xterm-rows")
    expect(rows).to_contain_text("started")
    page.keyboard.press("Shift+G")
    expect(rows).to_contain_text("succeeded")
    page.keyboard.press("PageUp")
    expect(rows).not_to_contain_text("succeeded")
    page.keyboard.press("End")
    expect(rows).to_contain_text("succeeded")
    page.keyboard.press("g")
    expect(rows).to_contain_text("started")
    page.keyboard.press("t")
    expect(button(page, "Time")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("t")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.rt-screen')") is None


def test_a_selection_can_be_copied(tab: Tab, server: Server) -> None:
    run = server.start(shell="echo some words here")
    page = tab.open_run(run)
    tab.complete()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".xterm-rows span", has_text="words").dblclick(
        force=True, position={"x": 50, "y": 5}
    )
    page.keyboard.press("Control+c")
    assert page.evaluate("navigator.clipboard.readText()") in {"some", "words", "here"}
