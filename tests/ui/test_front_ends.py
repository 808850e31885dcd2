"""Pages of another site, with the modules that the server has for them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.ui.browsing import Tab
from tests.ui.hosting import Site
from tests.ui.serving import TOKEN, Server
from tools.base import ROOT

Host = Callable[[str], Page]
DOCS = (ROOT / "docs" / "front-ends.md").read_text(encoding="utf-8")


@pytest.fixture
def server(server_for_site: Server) -> Iterator[Server]:
    """The server that lets the site in."""
    yield server_for_site
    server_for_site.cancel_all()


@pytest.fixture
def host(tab: Tab, site: Site) -> Host:
    """Opens a page of that site."""

    def open_page(html: str) -> Page:
        tab.page.goto(site.put("/", html))
        return tab.page

    return open_page


def example(language: str, server: Server, **words: str) -> str:
    """The first example of a language in the documentation, with real values."""
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
    assert found
    text = found[1].replace("http://127.0.0.1:4000/", server.url)
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def test_the_element_works_in_a_plain_page(tab: Tab, server: Server, host: Host) -> None:
    run = server.start(shell="echo shown; echo and in red >&2")
    page = host(example("html", server, RUN_ID=run, TOKEN=TOKEN))
    tab.complete()
    assert set(tab.output()) == {"shown", "and in red"}
    element = page.locator("run-terminal")
    assert element.get_attribute("token") is None
    expect(page.locator(".rt-bar")).to_have_css("display", "flex")
    box = element.bounding_box()
    assert box is not None
    assert box["height"] == 480


def test_the_element_tells_what_happens_and_takes_another_run(
    tab: Tab, server: Server, host: Host
) -> None:
    tab.forgive("401")
    page = host(
        f"""<!doctype html><script type="module" src="{server.url}ui/run-terminal.js"></script>
        <script>
          window.told = [];
          for (const name of ['run', 'status', 'run-end', 'auth-required']) {{
            document.addEventListener(name, () => window.told.push(name), true);
          }}
        </script>
        <run-terminal run-id="{server.start(shell="echo first")}"></run-terminal>"""
    )
    expect(page.locator(".rt-word")).to_have_text("Signed out")
    assert page.evaluate("window.told") == ["auth-required"]
    element = page.locator("run-terminal")
    element.evaluate("(element, token) => { element.token = token; }", TOKEN)
    tab.complete()
    tab.expect_text("first")
    page.wait_for_function("window.told.includes('run-end')")
    assert {"run", "status"} < set(page.evaluate("window.told"))
    second = server.start(shell="echo second")
    element.evaluate("(element, id) => element.setAttribute('run-id', id)", second)
    tab.expect_text("second")
    tab.complete()
    assert "first" not in tab.text()
    element.evaluate("element => element.remove()")
    expect(page.locator("xterm-style")).to_have_count(0)
    assert page.evaluate("document.adoptedStyleSheets.length") == 0


def test_the_client_lists_starts_follows_and_cancels(tab: Tab, server: Server, host: Host) -> None:
    page = host("<!doctype html>")
    result = page.evaluate(
        """async ([server, token]) => {
          const { Runs, ApiError, Unreachable } = await import(`${server}ui/runs.js`);
          const runs = new Runs({ token: () => token });
          const started = await runs.create({ shell: 'echo one; echo two >&2; read forever' });
          const seen = { stdout: '', stderr: '' };
          for await (const message of runs.follow(started.id)) {
            if (message.type in seen) seen[message.type] += message.data;
            if (seen.stdout && seen.stderr) break;
          }
          const { jobs } = await runs.jobs();
          const cancelled = await runs.create({ shell: 'sleep 600' });
          await runs.cancelRun(cancelled.id, { force: true });
          let end;
          for await (const message of runs.follow(cancelled.id)) end = message;
          const { runs: listed } = await runs.list({ status: ['cancelled'], limit: 1000 });
          const refused = await runs.get('no-such-run').catch((error) => error);
          const lost = await new Runs({ server: 'http://127.0.0.1:9/' }).jobs().catch((error) => error);
          const missing = await (async () => {
            for await (const message of runs.follow('no-such-run')) return message;
          })().catch((error) => error);
          return {
            seen, jobs: jobs.map(({ name }) => name), end: end.run.status,
            listed: listed.some(({ id }) => id === cancelled.id),
            refused: [refused instanceof ApiError, refused.status, refused.code],
            lost: lost instanceof Unreachable, missing: missing.status,
          };
        }""",
        [server.url, TOKEN],
    )
    tab.forgive("404|ERR_")
    assert result == {
        "seen": {"stdout": "one\n", "stderr": "two\n"},
        "jobs": ["both", "failing", "stubborn", "forever", "form"],
        "end": "cancelled",
        "listed": True,
        "refused": [True, 404, "no_such_run"],
        "lost": True,
        "missing": 4404,
    }


def test_the_example_of_the_client_runs(tab: Tab, server: Server, host: Host) -> None:
    tab.forgive(r"^log: ")
    example_text = example("js", server, TOKEN=TOKEN).replace("job: 'report'", "job: 'both'")
    example_text = re.sub(r", params: \{.*?\}", "", example_text)
    tab.forgive("409")
    with tab.page.expect_request_finished(lambda request: request.url.endswith("/cancel")):
        host(f'<!doctype html><script type="module">{example_text}</script>')
    said = [complaint for complaint in tab.complaints if complaint.startswith("log: ")]
    assert any("to stdout" in line for line in said), json.dumps(tab.complaints)
    assert any("succeeded" in line for line in said), json.dumps(tab.complaints)
    tab.forgive("run_ended|has already succeeded")
