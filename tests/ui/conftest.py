"""One browser and one server for all tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.ui.browsing import FLAGS, Tab, open_tab
from tests.ui.hosting import Site, hosting
from tests.ui.serving import JOBS, Server, serving
from tools.browser import find_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The server, on which nothing runs when a test ends."""
    yield shared_server
    shared_server.cancel_all()


@pytest.fixture
def tab(browser: Browser, server: Server) -> Iterator[Tab]:
    """A tab, in whose console nothing may be said."""
    with open_tab(browser, server) as opened:
        yield opened


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Another site, whose pages the server of `server_for_site` lets in."""
    with hosting() as found:
        yield found


@pytest.fixture(scope="session")
def server_for_site(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Server]:
    jobs = f'[web]\ncors_origins = ["{site.origin}"]\n{JOBS}'
    with serving(tmp_path_factory.mktemp("server"), jobs=jobs) as server:
        yield server
