"""Signing in, and what becomes of pages whose token ends."""

from __future__ import annotations

import base64
import json
import re

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.browsing import PHONE, Tab, open_tab
from tests.ui.serving import TOKEN, Server


def new_token(server: Server, scope: str, **more: object) -> tuple[str, str]:
    """A token and its id."""
    answer = server.api.post("tokens", json={"sub": "ada", "scope": scope, **more})
    assert answer.status_code == 201, answer.text
    token = str(answer.json()["token"])
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return token, str(claims["jti"])


ALL = "runs:read runs:submit runs:exec runs:cancel"


def test_a_token_that_is_no_good_is_refused_in_words(tab: Tab) -> None:
    tab.forgive("401")
    page = tab.open(token=None)
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    tab.sign_in("")
    expect(page.get_by_role("alert")).to_have_text("Paste a token here.")
    tab.sign_in("nonsense")
    expect(page.get_by_role("alert")).to_contain_text("does not accept this token")
    tab.sign_in(TOKEN)
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_a_token_lives_in_the_page_or_if_wished_in_the_tab_and_never_in_the_address(
    tab: Tab,
) -> None:
    page = tab.open("jobs", token=None)
    tab.sign_in(TOKEN)
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.reload()
    page.get_by_label("Keep it for this tab").check()
    tab.sign_in(TOKEN)
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    kept = page.evaluate("JSON.stringify([location.href, {...localStorage}, document.cookie])")
    assert TOKEN not in kept
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()


def test_who_one_is_and_until_when_is_shown(tab: Tab, server: Server) -> None:
    token, _ = new_token(server, ALL, lifetime="10m")
    page = tab.open(token=None)
    tab.sign_in(token)
    expect(page.locator(".who")).to_have_text("ada · token ends in 10 min")
    expect(page.get_by_role("button", name="New token")).to_be_hidden()


def test_a_stream_goes_on_at_its_place_when_a_new_token_takes_over(
    tab: Tab, server: Server
) -> None:
    """The first token is revoked in the middle; a line written meanwhile comes once."""
    tab.forgive("401")
    token, jti = new_token(server, ALL)
    run = server.start(shell="trap 'echo after' USR1; echo before; while :; do sleep 0.05; done")
    page = tab.open_run(run, token=None)
    tab.sign_in(token)
    tab.expect_text("before")
    server.api.delete(f"tokens/{jti}")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The token is not valid any more")
    expect(page.locator(".rt-word")).to_have_text("Signed out")
    server.api.post(f"runs/{run}/signal", json={"signal": "USR1"})
    tab.sign_in(new_token(server, ALL)[0])
    expect(dialog).to_be_hidden()
    expect(page.locator(".rt-word")).to_have_text("Live")
    tab.expect_text("after")
    assert [tab.text().count(word) for word in ("before", "after", "started")] == [1, 1, 1]


def test_a_token_that_soon_ends_is_replaced_without_a_break(tab: Tab, server: Server) -> None:
    run = server.start(job="forever")
    page = tab.open_run(run, token=None)
    tab.sign_in(new_token(server, ALL, lifetime="2m")[0])
    tab.expect_text("ready")
    page.get_by_role("button", name="New token").click()
    tab.sign_in(new_token(server, ALL, lifetime="2h")[0])
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="New token")).to_be_hidden()
    expect(page.locator(".rt-word")).to_have_text("Live")


def test_a_phone_has_room_for_the_offer_of_a_new_token(browser: Browser, server: Server) -> None:
    token, _ = new_token(server, ALL, lifetime="2m")
    with open_tab(browser, server, PHONE) as tab:
        page = tab.open(token=token)
        expect(page.get_by_role("button", name="New token")).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("button", name="Sign out")).to_be_in_viewport(ratio=1)


def test_what_a_token_may_not_do_is_not_offered(browser: Browser, server: Server) -> None:
    token, _ = new_token(server, "runs:read")
    run = server.start(job="both")
    server.ended(run)
    running = server.start(job="forever")
    with open_tab(browser, server) as tab:
        page = tab.open(token=token)
        expect(page.locator("tbody tr").first).to_be_visible()
        expect(page.get_by_role("link", name="Start a job")).to_have_count(0)
        expect(page.locator("tbody button:visible")).to_have_count(0)
        tab.open_run(run)
        tab.complete()
        expect(page.get_by_role("button", name="Run again")).to_be_hidden()
        tab.open_run(running)
        tab.expect_text("ready")
        expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
        tab.open("new")
        expect(page.get_by_role("heading", level=2)).to_have_text("This token may not run commands")


@pytest.mark.parametrize("path", ["", "jobs", "runs/{run}"])
def test_a_page_that_a_token_may_not_see_asks_for_another_one(
    tab: Tab, server: Server, path: str
) -> None:
    tab.forgive("403")
    run = server.start(job="both")
    page = tab.open(path.format(run=run), token=new_token(server, "runs:submit")[0])
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This token may not see this")
    dialog.get_by_role("button", name="Not now").click()
    said = page.locator(".state, .rt-notice[role=status]")
    expect(said).to_contain_text(re.compile("lacks the scope runs:read|may not watch this run"))
    expect(dialog).to_be_hidden()
    page.reload()
    tab.sign_in(TOKEN)
    expect(page.locator(".badge").first).to_be_visible()


def test_a_token_without_the_right_to_watch_says_so(tab: Tab, server: Server) -> None:
    tab.forgive("403")
    page = tab.open(token=None)
    tab.sign_in(new_token(server, "runs:submit")[0])
    expect(page.get_by_role("alert")).to_contain_text("lacks the scope runs:read")
