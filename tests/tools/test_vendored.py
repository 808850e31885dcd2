"""Vendored files are what they were when they were taken in."""

import re
import subprocess
from pathlib import Path

import pytest

from tools import vendored
from tools.base import ROOT


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """A directory of vendored files, its manifest made as docs/testing.md says."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.js").write_text("a")
    (tmp_path / "deep" / "b.css").write_text("b")
    testing = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`(find .* > SHA256SUMS)`", testing)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    return tmp_path


def test_unchanged_files_pass(vendor: Path) -> None:
    assert list(vendored.problems(vendor)) == []


def test_a_changed_file_is_noticed(vendor: Path) -> None:
    (vendor / "deep" / "b.css").write_text("B")
    assert list(vendored.problems(vendor)) == [f"{vendor}/deep/b.css: was changed"]


def test_a_missing_file_is_noticed(vendor: Path) -> None:
    (vendor / "a.js").unlink()
    assert list(vendored.problems(vendor)) == [f"{vendor}/a.js: is missing"]


def test_a_file_without_a_hash_is_noticed(vendor: Path) -> None:
    (vendor / "deep" / "c.js").write_text("c")
    assert list(vendored.problems(vendor)) == [f"{vendor}/deep/c.js: is not in SHA256SUMS"]


def test_a_directory_without_a_manifest_is_noticed(vendor: Path) -> None:
    (vendor / "SHA256SUMS").unlink()
    assert list(vendored.problems(vendor)) == [f"{vendor}: has no SHA256SUMS"]
