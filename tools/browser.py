"""The browser that the tests of the pages drive: the system's own, which Playwright is led to."""

import platform
import shutil
from pathlib import Path

from tools import debian
from tools.base import Refusal, call

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Path of a Chromium, or None: then Playwright uses the one it installed, if it did."""
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def need_browser(python: Path) -> None:
    """Install a browser if there is none; `python` has Playwright. Raises Refusal."""
    if find_browser() is not None:
        return
    if not _is_ubuntu():
        debian.need("chromium")
    # Ubuntu has Chromium as a snap only, which needs a system with snapd and hides files from it.
    elif call([python, "-m", "playwright", "install", "--with-deps", "chromium"]) != 0:
        raise Refusal("Playwright could not install Chromium; what it said is above.")


def _is_ubuntu() -> bool:
    try:
        return platform.freedesktop_os_release().get("ID") == "ubuntu"
    except OSError:
        return False
