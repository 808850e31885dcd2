"""System packages: installed as root, asked for otherwise. apt-get and dpkg are stand-ins."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import debian
from tools.base import Refusal


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with git installed, where root runs an apt-get that writes down what it is told."""
    programs = {
        "apt-get": f'echo "${{DEBIAN_FRONTEND:-asking}} $*" >> {tmp_path}/said',
        "dpkg-query": 'for last; do :; done; [ "$last" = git ] && printf installed',
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "said").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DEBIAN_FRONTEND", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    debian.update.cache_clear()
    yield tmp_path
    debian.update.cache_clear()


def said(machine: Path) -> list[list[str]]:
    """The words of each apt-get command, its options left out."""
    lines = (machine / "said").read_text().splitlines()
    return [[word for word in line.split() if word[0] not in "-D"] for line in lines]


def test_what_is_there_is_not_installed_again(machine: Path) -> None:
    debian.need("git")
    assert said(machine) == []


def test_root_gets_what_is_missing_after_one_update(machine: Path) -> None:
    debian.need("git", "chromium", "xvfb")
    debian.need("nodejs")
    assert said(machine) == [
        ["noninteractive", "update"],
        ["noninteractive", "install", "chromium", "xvfb"],
        ["noninteractive", "install", "nodejs"],
    ]


def test_a_failed_install_is_told(machine: Path) -> None:
    (machine / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    with pytest.raises(Refusal, match=r"^apt-get could not install chromium; "):
        debian.need("chromium")


def test_without_apt_get_it_names_the_package(machine: Path) -> None:
    (machine / "apt-get").unlink()
    with pytest.raises(Refusal, match=r"^This needs chromium, and there is no apt-get here"):
        debian.need("chromium")


@pytest.mark.parametrize("become_root", ["sudo sh -c", "su -c"])
def test_others_are_told_the_one_command(
    machine: Path, monkeypatch: pytest.MonkeyPatch, become_root: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if become_root.startswith("sudo"):
        (machine / "sudo").symlink_to(machine / "apt-get")
    with pytest.raises(Refusal) as refused:
        debian.need("git", "chromium", "xvfb")
    explanation, command = str(refused.value).splitlines()
    assert explanation == "This needs chromium xvfb. Install it with:"
    assert command.startswith(become_root)
    assert said(machine) == []

    subprocess.run(["/bin/sh", "-c", shlex.split(command)[-1]], check=True)
    assert said(machine) == [["asking", "update"], ["asking", "install", "chromium", "xvfb"]]
