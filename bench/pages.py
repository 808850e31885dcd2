"""How soon a page shows what it is asked for, in a real browser with an empty cache.

A run has written a large log. The time is from the navigation to its page, in a new browser
context each time, to the first of its text on the screen: the document, the modules, the run, the
stream at the log's end, and the terminal. "Complete" is when all of what is shown is there.
"""

from __future__ import annotations

import argparse
import os
import time

from msgspec import Struct
from playwright.sync_api import Browser, expect, sync_playwright

from bench._kept import keep
from bench._served import TOKEN, Client, Server, median, serve
from tools.browser import find_browser

MB = 1_000_000
LINE = "line %013.0f of the large log, which is long enough to be large"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
# Notes when text is first in the terminal's rows, and when the page says that it has all.
CLOCK = f"""
sessionStorage.setItem('runwire.token', '{TOKEN}');
window.seen = {{}};
new MutationObserver(() => {{
  const rows = document.querySelector('.xterm-rows')?.textContent ?? '';
  if (rows.includes('of the large log')) window.seen.first ??= performance.now();
  const word = document.querySelector('.rt-word')?.textContent;
  if (word === 'Complete') window.seen.complete ??= performance.now();
}}).observe(document, {{ childList: true, characterData: true, subtree: true }});
"""


class Sample(Struct, frozen=True):
    """Seconds since the navigation began."""

    first_text: float
    complete: float


def make_log(server: Server, size: int) -> str:
    """A finished run that has written `size` bytes; its id."""
    client = Client(server)
    lines = size // len(LINE % 0 + "\n")
    run_id = client.submit("seq", "-f", LINE, str(lines))
    while client.run(run_id)["ended_at"] is None:
        time.sleep(0.05)
    client.close()
    return run_id


def open_page(browser: Browser, server: Server, run_id: str) -> Sample:
    """Open the run's page as somebody does who was never here."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(CLOCK)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/ui/runs/{run_id}")
    expect(page.locator(".rt-word")).to_have_text("Complete", timeout=60_000)
    expect(page.locator(".xterm-rows")).to_contain_text("of the large log")
    seen = page.evaluate("window.seen")
    context.close()
    return Sample(seen["first"] / 1e3, seen["complete"] / 1e3)


def main() -> None:
    """Measure and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="pages", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--mb", type=int, default=1000, help="size of the log")
    parser.add_argument("--quick", action="store_true", help="a tenth of it, and only once")
    options = parser.parse_args()
    if options.quick:
        options.repeat, options.mb = 1, options.mb // 10
    with serve(max_running=1) as server, sync_playwright() as playwright:
        run_id = make_log(server, options.mb * MB)
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        open_page(browser, server, run_id)  # the browser's own start counts for nobody
        samples = [open_page(browser, server, run_id) for _ in range(options.repeat)]
        version = browser.version
        browser.close()
    print(f"Chromium {version}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, ", end="")
    print(f"medians of {options.repeat}\n")
    log = f"a finished log of {options.mb} MB"
    figures = {
        f"{log}: first text on the screen, s": median([it.first_text for it in samples]),
        f"{log}: its end complete, s": median([it.complete for it in samples]),
    }
    keep("pages", figures)


if __name__ == "__main__":
    main()
