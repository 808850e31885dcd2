"""Pages of a real browser, in which everything that a console would show is a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.patience import PATIENCE_S
from tests.ui.serving import TOKEN, Server

# Nothing of the browser's own goes out, and no screen is needed. Root cannot have the sandbox.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE = (1280, 800)
PHONE = (390, 844)

_PATIENCE_MS = 1000 * PATIENCE_S
expect.set_options(timeout=_PATIENCE_MS)


class Tab:
    """One page of a server, with what it was not to say."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.complaints: list[str] = []
        self._signed_in = False
        self._forgiven: list[re.Pattern[str]] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def forgive(self, pattern: str) -> None:
        """Expect console messages that match: a browser reports failed requests there itself."""
        self._forgiven.append(re.compile(pattern))

    def open(self, path: str = "", token: str | None = TOKEN) -> Page:
        """Open a page below /ui/, signed in with `token`."""
        if token is not None and not self._signed_in:
            self.page.add_init_script(f"sessionStorage.setItem('runwire.token', '{token}')")
            self._signed_in = True
        self.page.goto(f"{self.server.url}ui/{path}")
        return self.page

    def open_run(self, run_id: str, token: str | None = TOKEN) -> Page:
        """Open a run's page; returns at once."""
        return self.open(f"runs/{run_id}", token)

    def sign_in(self, token: str) -> None:
        """Fill in whatever form asks for a token."""
        self.page.get_by_label("Token", exact=True).fill(token)
        self.page.locator(".token-form button[type=submit]").click()

    def text(self) -> str:
        """What stands in the terminal."""
        found: Any = self.page.locator("run-terminal").evaluate("terminal => terminal.text")
        return str(found)

    def output(self) -> list[str]:
        """The lines of output in the terminal, without the remarks between them."""
        return [line for line in self.text().splitlines() if not line.startswith("▸ ")]

    def expect_text(self, wanted: str) -> None:
        """Wait until `wanted` stands in the terminal."""
        terminal = self.page.locator("run-terminal")
        for _ in range(int(20 * PATIENCE_S)):
            if wanted in str(terminal.evaluate("terminal => terminal.text")):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{wanted!r} is not in {self.text()[-2000:]!r}")

    def complete(self) -> None:
        """Wait until the log was shown to its end."""
        expect(self.page.locator(".rt-word")).to_have_text("Complete")

    def check(self) -> None:
        """Fail if anything was complained about."""
        heard = [
            complaint
            for complaint in self.complaints
            if not any(pattern.search(complaint) for pattern in self._forgiven)
        ]
        assert heard == [], heard

    def _heard(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")


@contextmanager
def open_tab(
    browser: Browser, server: Server, size: tuple[int, int] = WIDE, theme: str = "dark"
) -> Iterator[Tab]:
    """A tab of its own context; at the end, nothing may have been complained about."""
    context: BrowserContext = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        has_touch=size == PHONE,
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
    )
    context.set_default_timeout(_PATIENCE_MS)
    try:
        tab = Tab(context.new_page(), server)
        yield tab
        tab.check()
    finally:
        context.close()
