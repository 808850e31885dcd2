"""Takes the pictures of the documentation: `python -m tools.screenshots`.

It serves the sample jobs on a free port with a state directory of its own, and looks at them with
the browser that the tests use.
"""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tools.base import ROOT
from tools.browser import find_browser
from tools.environment import BIN

IMAGES = ROOT / "docs" / "img"
# Where the samples are copied to: where this clone lies is nothing for a picture.
PLACE = Path("/var/tmp/demo")  # noqa: S108 - made anew or refused
TOKEN = "devtoken"  # noqa: S105 - public by intent
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDE = (1200, 700)
PHONE = (390, 700)
EARLIER = (
    {"job": "report", "params": {"path": "/etc", "seconds": 2}},
    {"job": "crash"},
    {"shell": "uname -a && uptime"},
    {"job": "test-card"},
    {"job": "progress", "params": {"minutes": 0.5}},
)


@contextmanager
def served() -> Iterator[str]:
    """The address of a server with the sample jobs."""
    PLACE.mkdir()
    try:
        shutil.copy(ROOT / "jobs.toml", PLACE)
        shutil.copytree(ROOT / "examples", PLACE / "examples")
        command: list[str | Path] = [
            BIN / "runwire",
            "serve",
            "--dev",
            "--bind",
            "127.0.0.1:0",
            "--state-dir",
        ]
        process = subprocess.Popen(
            [*command, PLACE / "state"],
            cwd=PLACE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield process.stdout.readline().split()[2]
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()
    finally:
        shutil.rmtree(PLACE)


def call(url: str, body: object = None) -> dict[str, object]:
    """What the API answers."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own server
        found: dict[str, object] = json.load(answer)
        return found


def take(page: Page, url: str, name: str, ready: str) -> None:
    """Open a page, wait until `ready` can be seen on it, and keep what it looks like."""
    page.goto(url)
    page.get_by_text(ready).first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"{name}.png: {(IMAGES / f'{name}.png').stat().st_size // 1024} KiB")


def main() -> int:
    """Take all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with served() as base, sync_playwright() as playwright:
        ids = [call(f"{base}runs", body)["id"] for body in EARLIER]
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        for size, suffix, scheme in ((WIDE, "", "dark"), (PHONE, "-phone", "light")):
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            context.add_init_script(f"sessionStorage.setItem('runwire.token', '{TOKEN}')")
            page = context.new_page()
            if not suffix:
                take(page, f"{base}ui/", "runs", "running")
            take(page, f"{base}ui/runs/{ids[1]}", f"run{suffix}", "Complete")
            context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
