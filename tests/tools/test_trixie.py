"""The file system of Debian 13: made once, whole or not at all. mmdebstrap and pip are stand-ins."""

import os
from pathlib import Path

import pytest

from tools import debian, trixie


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that were called; mmdebstrap makes its last argument, if it does not fail."""
    called: list[str] = []

    def call(command: list[str | Path]) -> int:
        name = Path(command[0]).name
        called.append(name)
        if name == "mmdebstrap":
            Path(command[-1]).mkdir()
            return int((tmp_path / "fails").exists())
        return 0

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "need", lambda *packages: called.append(" ".join(packages)))
    monkeypatch.setattr(trixie, "call", call)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return called


def test_it_is_made_once(made: list[str]) -> None:
    trixie.want_trixie()
    assert made == ["mmdebstrap debian-archive-keyring", "python", "mmdebstrap"]
    assert trixie.root_of_trixie().is_dir()
    made.clear()
    trixie.want_trixie()
    assert made == []


def test_where_it_cannot_be_made_that_is_said_and_nothing_is_left(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fails").touch()
    trixie.want_trixie()
    assert "There are no tests on Debian 13: mmdebstrap could not" in capsys.readouterr().out
    assert list(trixie.root_of_trixie().parent.iterdir()) == []


def test_who_is_not_root_is_told(
    made: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    trixie.want_trixie()
    assert "can only be made by root" in capsys.readouterr().out
    assert made == []


def test_other_releases_in_the_lock_make_another(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trixie.root_of_trixie()
    lock = tmp_path / "requirements.lock"
    lock.write_text("trio==1\n")
    monkeypatch.setattr(trixie, "RUNTIME", lock)
    assert trixie.root_of_trixie() != before


def test_what_nobody_asked_for_in_a_month_goes(made: list[str], tmp_path: Path) -> None:
    others = [tmp_path / "cache" / "runwire" / f"debian-13-{name}" for name in ("old", "used")]
    for other in others:
        other.mkdir(parents=True)
    os.utime(others[0], (0, 0))
    trixie.want_trixie()
    assert [other.exists() for other in others] == [False, True]
