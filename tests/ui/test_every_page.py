"""What holds for every page: accessible, in both themes, on a phone, and under a base path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.ui.browsing import PHONE, WIDE, Tab, open_tab
from tests.ui.serving import JOBS, TOKEN, Server, serving

AXE = Axe()


def violations(page: Page) -> list[str]:
    """What axe-core finds, a line each: the rule, and the elements that break it."""
    found: list[dict[str, Any]] = AXE.run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def check(page: Page) -> None:
    """Fail for anything that axe finds, and for a page wider than its window."""
    assert violations(page) == []
    width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= window


@pytest.fixture(scope="module")
def runs(shared_server: Server) -> dict[str, str]:
    """A run in each state that looks different."""
    started = {name: shared_server.start(job=name) for name in ("both", "failing", "stubborn")}
    started["colours"] = shared_server.start(
        shell=r"for i in $(seq 30 37) $(seq 90 97) 2 7; do printf '\033[%dm%s \033[0m' $i colour; done;"
        r"printf '\033[38;5;17mdark\033[0m \033[48;5;226mbright\033[0m\n'"
    )
    for name in ("both", "failing", "colours"):
        shared_server.ended(started[name])
    return started


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_pages_are_accessible_and_fit(
    browser: Browser,
    shared_server: Server,
    runs: dict[str, str],
    size: tuple[int, int],
    theme: str,
) -> None:
    with open_tab(browser, shared_server, size, theme) as tab:
        tab.forgive("404")
        page = tab.open(token=None)
        page.get_by_text("Where do I get a token?").click()
        check(page)
        tab.open()
        expect(page.locator("tbody .badge").first).to_be_visible()
        check(page)
        for name in ("both", "failing", "colours"):
            tab.open_run(runs[name])
            tab.complete()
            check(page)
        tab.open("jobs")
        expect(page.locator(".job-card").first).to_be_visible()
        check(page)
        tab.open("jobs/form")
        expect(page.get_by_role("button", name="Start form")).to_be_visible()
        check(page)
        tab.open("new")
        page.get_by_text("More").click()
        check(page)
        tab.open("runs/no-such-run")
        expect(page.get_by_role("heading", name="There is no such run")).to_be_visible()
        check(page)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_appears_later_is_accessible_too(browser: Browser, server: Server, theme: str) -> None:
    with open_tab(browser, server, WIDE, theme) as tab:
        tab.forgive("401|WebSocket")
        page = tab.open_run(
            server.start(shell="trap '' TERM; echo ready; while :; do sleep 0.2; done")
        )
        tab.expect_text("ready")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Kill now")).to_be_visible()
        check(page)
        page.route_web_socket("**/stream", lambda socket: socket.close(code=4401))
        page.reload()
        expect(page.get_by_role("dialog")).to_be_visible()
        check(page)
        tab.open("?q=no+run+has+this")
        expect(page.get_by_role("heading", name="No run matches")).to_be_visible()
        check(page)


def test_the_theme_can_be_chosen_and_is_kept(tab: Tab) -> None:
    page = tab.open()
    body = page.locator("body")
    expect(body).to_have_css("background-color", "rgb(1, 4, 9)")
    for name, colour in (("dark", "rgb(1, 4, 9)"), ("light", "rgb(246, 248, 250)")):
        page.locator("button.icon").click()
        expect(page.locator("button.icon")).to_have_attribute("title", f"Colours: {name}")
        expect(body).to_have_css("background-color", colour)
    page.reload()
    expect(body).to_have_css("background-color", "rgb(246, 248, 250)")
    page.locator("button.icon").click()
    expect(body).to_have_css("background-color", "rgb(1, 4, 9)")


def test_a_terminal_takes_up_a_change_of_theme(tab: Tab, server: Server) -> None:
    page = tab.open_run(server.start(job="both"))
    tab.complete()
    rows = page.locator(".xterm-rows")
    expect(rows).to_have_css("color", "rgb(230, 237, 243)")
    page.emulate_media(color_scheme="light")
    expect(rows).to_have_css("color", "rgb(31, 35, 40)")


def test_all_of_it_works_with_the_keyboard_alone(tab: Tab, server: Server) -> None:
    server.ended(server.start(job="both"))
    page = tab.open()
    expect(page.locator("tbody .badge").first).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("/")
    expect(page.get_by_role("searchbox")).to_have_value("/")
    tab.open()
    expect(page.locator("tbody .badge").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "name":
            break
    page.keyboard.press("Enter")
    tab.complete()
    page.keyboard.press("t")
    expect(page.get_by_role("button", name="Time")).to_have_attribute("aria-pressed", "false")


def test_everything_works_under_a_base_path(browser: Browser, tmp_path: Path) -> None:
    jobs = f'[web]\nbase_path = "/tools/runwire"\n{JOBS}'
    with serving(tmp_path, jobs=jobs) as server, open_tab(browser, server) as tab:
        assert server.url.endswith("/tools/runwire/")
        page = tab.open("jobs")
        page.get_by_role("link", name="Start both").click()
        page.get_by_role("button", name="Start both").click()
        tab.complete()
        assert "/tools/runwire/ui/runs/" in page.url
        page.get_by_role("link", name="Runs").click()
        expect(page.locator("tbody .badge").first).to_contain_text("succeeded")
        assert page.url == f"{server.url}ui/"
        host = httpx.URL(server.url).copy_with(path="/tools/runwire")
        page.goto(str(host))
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_a_phone_scrolls_the_output_with_a_finger(browser: Browser, server: Server) -> None:
    run = server.start(shell="seq -f 'line %g' 300; exit 1")
    server.ended(run)
    with open_tab(browser, server, PHONE) as tab:
        page = tab.open_run(run)
        tab.complete()
        rows = page.locator(".xterm-rows")
        expect(rows).to_contain_text("failed")
        client = page.context.new_cdp_session(page)
        touch = [{"x": 200, "y": 300}]
        client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": touch})
        for y in range(320, 800, 20):
            touch = [{"x": 200, "y": y}]
            client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": touch})
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect(rows).not_to_contain_text("failed")
        expect(page.get_by_role("button", name="↓ To the end")).to_be_visible()


def test_no_token_is_told_to_anybody_but_the_api(tab: Tab, server: Server) -> None:
    """Neither an address nor a header of a request for a file has it."""
    told: list[str] = []
    tab.page.on(
        "request",
        lambda request: (
            told.append(request.url)
            if TOKEN in request.url
            or ("/ui/" in request.url and "authorization" in request.headers)
            else None
        ),
    )
    tab.open_run(server.start(job="both"))
    tab.complete()
    assert told == []
