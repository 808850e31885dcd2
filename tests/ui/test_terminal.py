"""A run on a terminal, in its page: shown as it is, typed into by those who may, resized by them."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.patience import PATIENCE_S
from tests.ui.browsing import PHONE, Tab, open_tab
from tests.ui.serving import Server

SIZES = """
import os, signal, sys
def tell(*_): print(*os.get_terminal_size(0), flush=True)
signal.signal(signal.SIGWINCH, tell)
tell()
for line in sys.stdin: print("got", line.strip(), flush=True)
"""


def on_terminal(server: Server, *command: str, **more: object) -> str:
    return server.start(command=command, output="pty", **more)


def sizes(server: Server) -> str:
    return on_terminal(server, sys.executable, "-I", "-S", "-u", "-c", SIZES)


def reader_token(server: Server) -> str:
    answer = server.api.post("tokens", json={"scope": "runs:read", "sub": "reader"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def typing_button(page: Page) -> Any:
    return page.get_by_role("button", name="Typing", exact=True)


def sit_down(page: Page) -> None:
    """Click into the terminal, once what is typed goes to the run."""
    expect(typing_button(page)).to_have_attribute("aria-pressed", "true")
    page.locator(".xterm").click()


def wait_for_log(server: Server, run_id: str, text: bytes) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while text not in server.log(run_id):
        assert time.monotonic() < deadline, server.log(run_id)


def columns_of(page: Page) -> int:
    return int(page.locator("run-terminal").evaluate("terminal => terminal.columns"))


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def test_what_is_typed_is_read_by_the_run(tab: Tab, server: Server) -> None:
    """Every key is the run's, those included with which the page itself would do something."""
    run_id = on_terminal(server, "sh", "-c", 'read line; echo "got <$line>"')
    page = tab.open_run(run_id)
    sit_down(page)
    page.keyboard.type("crftz g/ zwölf")
    tab.expect_text("crftz g/ zwölf")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    tab.complete()
    lines = [line.rstrip() for line in tab.output()]
    assert lines == ["crftz g/ zwöl", "got <crftz g/ zwöl>"]
    assert server.run(run_id)["status"] == "succeeded"
    expect(typing_button(page)).to_be_hidden()


def test_much_that_is_pasted_arrives_whole(tab: Tab, server: Server) -> None:
    """Far more than goes into one message, and than a terminal holds."""
    run_id = on_terminal(server, "sh", "-c", "stty raw -echo; echo ready; head -c 100000 | md5sum")
    page = tab.open_run(run_id)
    tab.expect_text("ready")
    sit_down(page)
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.setData('text/plain', 'x'.repeat(100000));
        const paste = new ClipboardEvent('paste', { clipboardData: data, bubbles: true });
        document.querySelector('.xterm textarea').dispatchEvent(paste);
    }""")
    tab.complete()
    assert hashlib.md5(b"x" * 100_000).hexdigest() in tab.text()


def test_ctrl_c_goes_to_the_program(tab: Tab, server: Server) -> None:
    line = "trap 'echo interrupted' INT; sh -c 'echo ready; exec sleep 600'; echo after"
    run_id = on_terminal(server, "sh", "-c", line)
    page = tab.open_run(run_id)
    tab.expect_text("ready")
    sit_down(page)
    page.keyboard.press("Control+c")
    tab.complete()
    assert tab.output() == ["ready", "^Cinterrupted", "after"]


def test_who_only_reads_sees_it_and_types_nothing(browser: Browser, server: Server) -> None:
    run_id = on_terminal(server, "sh", "-c", "echo ready; cat")
    with open_tab(browser, server) as tab:
        page = tab.open_run(run_id, reader_token(server))
        tab.expect_text("ready")
        expect(page.locator(".rt-access")).to_have_text("read-only")
        expect(typing_button(page)).to_be_hidden()
        page.locator(".xterm").click()
        page.keyboard.type("xyz")
        server.api.post(f"runs/{run_id}/input", content=b"by another\n", params={"eof": "1"})
        tab.complete()
        assert tab.output() == ["ready", "by another", "by another"]


def test_another_token_may_type_no_more(tab: Tab, server: Server) -> None:
    run_id = on_terminal(server, "cat")
    page = tab.open_run(run_id)
    expect(typing_button(page)).to_be_visible()
    terminal = page.locator("run-terminal")
    terminal.evaluate("(terminal, token) => { terminal.token = token; }", reader_token(server))
    expect(page.locator(".rt-access")).to_have_text("read-only")
    expect(typing_button(page)).to_be_hidden()


def test_typing_can_be_switched_off_and_left_by_the_keyboard(tab: Tab, server: Server) -> None:
    """Nobody is trapped in it (WCAG 2.1.2): Tab is the run's, but one key leads out."""
    run_id = on_terminal(server, "cat", "-A")
    page = tab.open_run(run_id)
    sit_down(page)
    page.keyboard.press("Tab")
    expect(page.locator(".xterm textarea")).to_be_focused()
    wait_for_log(server, run_id, b"\t")
    page.keyboard.press("Control+Shift+Space")
    expect(typing_button(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(typing_button(page)).to_have_attribute("aria-pressed", "false")
    page.locator(".xterm").click()
    page.keyboard.type("zz")
    page.keyboard.press("Tab")
    expect(page.locator(".xterm textarea")).not_to_be_focused()
    server.api.post(f"runs/{run_id}/input", content=b"\n", params={"eof": "1"})
    tab.complete()
    assert b"^I" in server.log(run_id)
    assert b"z" not in server.log(run_id)


def test_the_terminal_becomes_as_large_as_that_of_who_types(tab: Tab, server: Server) -> None:
    """And not as that of who only looks. Everybody sees it in its size."""
    run_id = sizes(server)
    page = tab.open_run(run_id)
    tab.expect_text("80 24")
    assert columns_of(page) == 80
    sit_down(page)
    page.keyboard.type("a\n")
    tab.expect_text("got a")
    expect(page.locator(".rt-facts")).not_to_contain_text("80 × 24")  # noqa: RUF001 - as it is shown
    wide = server.run(run_id)["terminal"]
    assert wide["columns"] > 80
    wait_until(page, lambda: columns_of(page) == wide["columns"])
    wait_for_log(server, run_id, b"%d %d" % (wide["columns"], wide["rows"]))
    page.set_viewport_size({"width": 700, "height": 600})
    wait_until(page, lambda: columns_of(page) < wide["columns"])
    narrow = server.run(run_id)["terminal"]
    wait_for_log(server, run_id, b"%d %d" % (narrow["columns"], narrow["rows"]))
    with open_tab(tab.page.context.browser, server, PHONE) as other:  # type: ignore[arg-type]
        other.open_run(run_id, reader_token(server))
        other.expect_text("got a")
        wait_until(other.page, lambda: columns_of(other.page) == narrow["columns"])
    assert server.run(run_id)["terminal"] == narrow


def test_a_program_has_the_whole_screen(tab: Tab, server: Server) -> None:
    """It writes where it likes, on a screen of its own, and leaves the other one as it was."""
    script = (
        "printf 'before\\n\\033[?1049h\\033[2J\\033[5;10Hhere\\033[3;1Hthere'; read x;"
        "printf '\\033[?1049lafter\\n'"
    )
    run_id = on_terminal(server, "sh", "-c", script)
    page = tab.open_run(run_id)
    tab.expect_text("there")
    assert tab.text().splitlines() == ["", "", "there", "", "         here"]
    sit_down(page)
    page.keyboard.press("Enter")
    tab.complete()
    assert tab.text().splitlines()[0] == "before"
    assert tab.text().splitlines()[-1] == "after"


def test_a_program_gets_no_answer_from_a_page(tab: Tab, server: Server) -> None:
    """Each viewer would type one into the run."""
    script = "stty raw -echo; printf '\\033[c\\033[6n\\033]0;title\\007ready'; head -c 1 | od -c"
    run_id = on_terminal(server, "sh", "-c", script)
    page = tab.open_run(run_id)
    tab.expect_text("ready")
    expect(page.locator(".rt-hidden")).to_contain_text("3 control sequences hidden")
    sit_down(page)
    page.keyboard.type("k")
    tab.complete()
    assert "   k" in tab.text()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_is_accessible(browser: Browser, server: Server, theme: str) -> None:
    run_id = on_terminal(server, "sh", "-c", "printf '\\033[31mred\\033[m plain'; sleep 600")
    with open_tab(browser, server, theme=theme) as tab:
        page = tab.open_run(run_id)
        tab.expect_text("plain")
        expect(typing_button(page)).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_why_nothing_comes_is_told_where_one_looks(tab: Tab, server: Server) -> None:
    """By the run's page, without a reload: it asks when nothing has come for a while."""
    run_id = server.start(shell="grep --help >&2; exec grep x", stdin="open")
    tab.page.clock.install()
    page = tab.open_run(run_id)
    tab.expect_text("Usage")
    page.clock.run_for(20_000)
    deadline = time.monotonic() + PATIENCE_S
    while server.run(run_id)["silent"] is None:
        assert time.monotonic() < deadline
        page.wait_for_timeout(200)
    page.clock.run_for(20_000)
    expect(page.locator(".rt-access")).to_contain_text("grep")
    expect(page.locator(".rt-access")).to_contain_text("may be keeping what it wrote")


def test_a_command_can_be_given_a_terminal(tab: Tab) -> None:
    page = tab.open("new")
    page.get_by_label("Command", exact=True).fill(
        "test -t 0 && echo on a terminal; read x; echo $x"
    )
    page.get_by_label("On a terminal").check()
    page.get_by_role("button", name="Run", exact=True).click()
    tab.expect_text("on a terminal")
    expect(page.locator(".xterm textarea")).to_be_focused()
    expect(typing_button(page)).to_have_attribute("aria-pressed", "true")
    page.keyboard.type("typed\n")
    tab.complete()
    assert tab.output() == ["on a terminal", "typed", "typed"]
