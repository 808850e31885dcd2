"""The terminal in an application made with React, as its documentation shows it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.ui.browsing import Tab
from tests.ui.hosting import SCRIPT, Site
from tests.ui.serving import TOKEN, Server
from tools.base import ROOT

pytestmark = pytest.mark.npm

PACKAGES = ROOT / "tests" / "npm"
DOCS = (ROOT / "docs" / "front-ends.md").read_text(encoding="utf-8")
APPLICATION = """
import {{ createRoot }} from 'react-dom/client';
import {{ Run }} from './run.jsx';

let show;
function Page() {{
  const [props, setProps] = React.useState({{ id: '{run}', token: '{token}' }});
  show = setProps;
  return props && <Run {{...props}} />;
}}
window.show = (props) => show(props);
createRoot(document.getElementById('root')).render(<React.StrictMode><Page /></React.StrictMode>);
"""


@pytest.fixture
def server(server_for_site: Server) -> Server:
    """The server that lets the site in."""
    return server_for_site


def bundle(directory: Path, server: Server, run: str) -> str:
    """The documentation's component in a small application, as one script."""
    found = re.search(r"^## React$.*?^```jsx\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)
    assert found
    component = found[1].replace("http://127.0.0.1:4000/", server.url)
    (directory / "run.jsx").write_text(component)
    application = APPLICATION.format(run=run, token=TOKEN)
    (directory / "page.jsx").write_text(f"import * as React from 'react';\n{application}")
    (directory / "node_modules").symlink_to(PACKAGES / "node_modules")
    # Addresses are left for the browser to import.
    esbuild = str(PACKAGES / "node_modules" / ".bin" / "esbuild")
    done = subprocess.run(
        [esbuild, "page.jsx", "--bundle", "--format=esm", "--log-level=warning"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_component_shows_a_run_takes_another_and_goes_away(
    tab: Tab, server: Server, site: Site, tmp_path: Path
) -> None:
    tab.forgive(r"^log: |React DevTools")
    first = server.start(shell="echo first")
    script = bundle(tmp_path, server, first)

    site.put("/page.js", script, SCRIPT)
    page = '<!doctype html><div id="root"></div><script type="module" src="/page.js"></script>'
    with tab.page.expect_console_message(lambda message: message.text == "succeeded"):
        tab.page.goto(site.put("/", page))
    assert tab.output() == ["first"]
    expect(tab.page.locator("run-terminal")).to_have_class("output")

    second = server.start(shell="echo second")
    tab.page.evaluate("props => window.show(props)", {"id": second, "token": TOKEN})
    tab.expect_text("second")
    assert "first" not in tab.text()
    tab.page.evaluate("window.show(null)")
    expect(tab.page.locator("run-terminal")).to_have_count(0)
    assert tab.page.evaluate("document.adoptedStyleSheets.length") == 0
