"""Streams over bad connections, from servers that go away, and of programs that mean harm."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Position, WebSocketRoute, expect

from tests.patience import PATIENCE_S
from tests.ui.browsing import PHONE, Tab, open_tab
from tests.ui.cutting import cutting_proxy
from tests.ui.serving import Server, serving

# What the page was given, in the order in which it was.
RECORD = """
window.received = { stdout: [], stderr: [] };
document.addEventListener('output', ({ detail }) => {
  window.received[detail.type].push(detail.data);
}, true);
"""
# Half of the time between attempts is chance anyway.
HURRY = """
const later = window.setTimeout;
window.setTimeout = (work, ms, ...more) => later(work, Math.min(ms, 5000) / 20, ...more);
"""
DIGEST = """
async (stream) => {
  const bytes = new Uint8Array(await new Blob(window.received[stream]).arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [bytes.length, [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')];
}
"""
# Both streams, characters of several bytes, bytes that are no text, and escapes.
NOISY = r"""
import os, random
random.seed(4711)
for i in range(6000):
    line = f"\x1b[3{i % 8}m{i} caf\u00e9 \u6f22\U0001f389 {'x' * random.randrange(200)}\x1b[0m".encode()
    if i % 7 == 0:
        line = line[:-3] + bytes(random.randrange(256) for _ in range(9))
    os.write(1 + random.randrange(2), line + b"\n" * random.randrange(2))
"""


def received(page: Page, stream: str) -> tuple[int, str]:
    """How many bytes of a stream the page was given, and their sha256."""
    length, digest = page.evaluate(DIGEST, stream)
    return int(length), str(digest)


def logged(server: Server, run: str, stream: str) -> tuple[int, str]:
    body = server.api.get(f"runs/{run}/log", params={"stream": stream}).content
    return len(body), hashlib.sha256(body).hexdigest()


def test_a_connection_cut_again_and_again_loses_and_doubles_nothing(
    browser: Browser, server: Server
) -> None:
    with cutting_proxy(server.port) as proxy:
        through = Server(f"http://127.0.0.1:{proxy.port}/", server.process)
        with through.api, open_tab(browser, through) as tab:
            tab.forgive("WebSocket connection to")
            tab.page.add_init_script(RECORD)
            tab.page.add_init_script(HURRY)
            run = server.start(command=["python3", "-c", NOISY])
            page = tab.open_run(run)
            expect(page.locator(".rt-word")).to_have_text("Complete", timeout=180_000)
            assert proxy.cuts >= 5
            for stream in ("stdout", "stderr"):
                assert received(page, stream) == logged(server, run, stream)
            assert tab.text().count("▸ succeeded") == 1


def test_a_server_that_restarts_is_waited_for(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as server, open_tab(browser, server) as tab:
        tab.forgive("WebSocket|ERR_CONNECTION_(REFUSED|RESET)")
        page = tab.open_run(server.start(job="forever"))
        tab.expect_text("ready")
        server.process.terminate()
        server.process.wait(PATIENCE_S)
        page.get_by_role("link", name="Runs").click()
        expect(page.locator(".state")).to_contain_text("The server does not answer")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        with serving(tmp_path, port=server.port):
            expect(page.locator("tbody tr").first).to_contain_text("forever")
            expect(page.locator(".state h2")).to_have_count(0)


def test_a_killed_server_is_found_again_and_the_log_with_it(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(tmp_path) as server, open_tab(browser, server) as tab:
        tab.forgive("WebSocket|ERR_CONNECTION_(REFUSED|RESET)")
        page = tab.open_run(server.start(job="forever"))
        tab.expect_text("ready")
        server.process.kill()
        server.process.wait(PATIENCE_S)
        expect(page.locator(".rt-notice[role=status]")).to_contain_text("trying again in")
        expect(page.locator(".rt-word")).to_have_text("Reconnecting")
        with serving(tmp_path, port=server.port):
            tab.complete()
            expect(page.locator(".badge")).to_have_text("✕failed")
            assert tab.text().count("ready") == 1


def test_being_offline_is_said_and_ends_by_itself(tab: Tab, server: Server) -> None:
    tab.forgive("WebSocket|ERR_INTERNET_DISCONNECTED")
    # A browser that is told to be offline leaves open sockets alone: this one is closed for it.
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    tab.page.route_web_socket("**/stream", pass_on)
    page = tab.open_run(server.start(job="forever"))
    tab.expect_text("ready")
    page.context.set_offline(True)
    sockets[0].close(code=1012)
    expect(page.locator(".rt-notice[role=status]")).to_contain_text("You are offline")
    page.context.set_offline(False)
    expect(page.locator(".rt-word")).to_have_text("Live")
    assert tab.text().count("ready") == 1


# --- programs that mean harm -----------------------------------------------------------------------

HOSTILE = {
    "title": r"\033]0;owned\007\033]2;owned\033\\",
    "clipboard": r"\033]52;c;b3duZWQ=\007",
    "report": r"\033[c\033[>c\033[6n\033[5n\033P$q\"p\033\\",
    "reset": r"\033c\033[!p",
    "wipe": r"\033[2J\033[3J\033[H\033[1J\033[99A\033[2K",
    "alternate screen": r"\033[?1049h\033[?47h\033[?1047h",
    "hide": r"\033[8mhidden\033[28m\033[?25l",
    "charset": r"\033(0\016",
    "link": r"\033]8;;javascript:document.title=1\033\\click\033]8;;\033\\",
    "eight bits": r"\302\2332J\302\2350;owned\302\234",
    "scroll region": r"\033[2;3r\033[99L\033[99M\033[99T",
    "never ending": r"\033]0;never\n\033Pnever\n\033_never",
}
RECORD_SENT = """
window.sent = [];
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  window.sent.push(JSON.parse(data).type);
  send.call(this, data);
};
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_sequences_that_report_wipe_or_hide_do_nothing(
    tab: Tab, server: Server, tmp_path: Path, name: str
) -> None:
    run = server.start(
        shell="for i in $(seq 20); do echo line $i >&2; done; "
        f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; "
        f"printf '{HOSTILE[name]}'; echo; echo after"
    )
    while b"line 20\n" not in server.log(run):
        pass
    (tmp_path / "go").touch()
    tab.page.add_init_script(RECORD_SENT)
    page = tab.open_run(run)
    tab.complete()
    lines = tab.text().splitlines()
    assert [line for line in lines if line.startswith("line ")] == [
        f"line {i}" for i in range(1, 21)
    ]
    assert "after" in lines
    expect(page.locator(".rt-hidden")).to_contain_text("control sequence")
    expect(page).to_have_title("✓ succeeded · " + page.locator("h1").inner_text() + " · Runwire")
    assert set(page.evaluate("window.sent")) <= {"hello", "ack"}
    if name == "link":
        page.locator(".xterm-rows span", has_text="click").first.click(
            modifiers=["ControlOrMeta"], force=True
        )
        assert len(page.context.pages) == 1


def test_an_address_in_the_output_opens_with_ctrl_and_click_only(tab: Tab, server: Server) -> None:
    run = server.start(shell=f"echo see {server.url}healthz ok")
    page = tab.open_run(run)
    tab.complete()
    line = page.locator(".xterm-rows > div", has_text="healthz")
    place: Position = {"x": 200, "y": 5}
    line.click(position=place, force=True)
    assert len(page.context.pages) == 1
    with page.context.expect_page() as opened:
        line.hover(position=place, force=True)
        line.click(position=place, force=True, modifiers=["ControlOrMeta"])
    assert opened.value.evaluate("window.opener") is None


# --- large logs ------------------------------------------------------------------------------------

LARGE_LINES = 2_800_000
LARGE = f"seq -f 'line %013.0f of the large log, which is long enough to be large' {LARGE_LINES}"


@pytest.fixture(scope="module")
def large_run(shared_server: Server) -> str:
    """A run with a log of nearly 200 MB."""
    run = shared_server.start(shell=LARGE)
    assert shared_server.ended(run)["log"]["size"] > 190_000_000
    return run


def test_a_large_log_opens_at_its_end(tab: Tab, large_run: str) -> None:
    page = tab.open_run(large_run)
    expect(page.locator(".xterm-rows")).to_contain_text(f"{LARGE_LINES:013} of the large log")
    tab.complete()
    expect(page.locator(".rt-earlier")).to_contain_text("are not shown")
    lines = tab.text().splitlines()
    assert lines[-1] == "▸ succeeded"
    assert 3_000 < len(lines) < 10_000


def test_a_large_log_is_read_from_its_start_part_by_part(tab: Tab, large_run: str) -> None:
    page = tab.open_run(large_run)
    page.get_by_role("button", name="From the start").click()
    expect(page.locator(".rt-earlier")).to_contain_text("The first")
    expect(page.locator(".xterm-rows")).to_contain_text("line 0000000000001 ")
    lines = tab.text().splitlines()
    last = int(lines[-1].split()[1])
    page.get_by_role("button", name="Next part").click()
    tab.expect_text(f"line {last + 4000:013} ")
    assert tab.output()[0].startswith(f"line {last + 1:013} ")
    page.locator(".xterm textarea").press("End")
    page.get_by_role("button", name="Next part ↓").click()
    tab.expect_text(f"line {last + 9000:013} ")
    page.get_by_role("button", name="To the end").click()
    expect(page.locator(".xterm-rows")).to_contain_text(f"{LARGE_LINES:013} of the large log")


@pytest.mark.parametrize("text", ["short %.0f", f"%.0f wide {'x' * 100}"], ids=["short", "wrapped"])
def test_no_line_is_lost_between_parts(
    browser: Browser, server: Server, tmp_path: Path, text: str
) -> None:
    """On a phone, where lines are wrapped and a window of output has many of them."""
    count = 20_000 if "wide" in text else 60_000
    (tmp_path / "log").write_text("".join(text % number + "\n" for number in range(count)))
    run = server.start(command=["cat", str(tmp_path / "log")])
    server.ended(run)
    with open_tab(browser, server, PHONE) as tab:
        page = tab.open_run(run)
        page.get_by_role("button", name="From the start").click()
        shown: list[str] = []
        more = page.get_by_role("button", name="Next part", exact=True)
        for _ in range(3):
            expect(more).to_be_visible()
            tab.expect_text(text % len(shown))
            shown += tab.output()
            more.click()
            expect(page.locator(".xterm-rows")).to_contain_text((text % len(shown))[:30])
        assert shown == [text % number for number in range(len(shown))]
        assert len(shown) > 3000


def test_a_flood_is_shown_to_its_end(tab: Tab, server: Server, tmp_path: Path) -> None:
    """More lines than the terminal holds: the oldest make room, and that is said."""
    wait = f"echo ready; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    page = tab.open_run(server.start(shell=f"{wait}; seq -f 'flood %.0f' 100000"))
    tab.expect_text("ready")
    (tmp_path / "go").touch()
    tab.complete()
    assert tab.output()[-1] == "flood 100000"
    assert tab.text().endswith("▸ succeeded")
    expect(page.locator(".rt-earlier")).to_contain_text("Earlier lines have left this view")
    expect(page.locator(".rt-facts")).to_contain_text("100,001 lines")
    last = page.locator(".rt-row", has=page.locator(".rt-number:not(:empty)")).last
    expect(last.locator(".rt-number")).to_have_text("100001")
