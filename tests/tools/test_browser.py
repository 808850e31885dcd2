"""The browser for the tests: found, or installed by whoever may. Programs are stand-ins."""

import os
import platform
from pathlib import Path

import pytest

from tools import browser, debian
from tools.base import Refusal


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of PATH, on a Debian where one is not root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian"})
    debian.update.cache_clear()
    return tmp_path


def add_program(directory: Path, name: str, script: str = "") -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", browser.NAMES)
def test_a_browser_that_is_there_is_taken(programs: Path, name: str) -> None:
    path = add_program(programs, name)
    assert browser.find_browser() == str(path)
    browser.need_browser(programs / "python")


def test_on_debian_the_command_that_installs_it_is_told(programs: Path) -> None:
    add_program(programs, "apt-get")
    with pytest.raises(Refusal, match=r"apt-get install --yes chromium'"):
        browser.need_browser(programs / "python")


def test_on_ubuntu_playwright_installs_it(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "ubuntu"})
    python = add_program(programs, "python", f'echo "$*" > {programs}/said')
    browser.need_browser(python)
    assert (programs / "said").read_text() == "-m playwright install --with-deps chromium\n"

    add_program(programs, "python", "exit 1")
    with pytest.raises(Refusal, match="Playwright could not install Chromium"):
        browser.need_browser(python)
