"""The server's own key: made once, for its owner alone, never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import jwt
import pytest

from supervisor.access.tokenkey import open_token_key
from supervisor.errors import StateDirError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token.key"


def test_it_is_made_at_the_first_start_for_its_owner_alone(path: Path) -> None:
    umask = os.umask(0)
    try:
        key = open_token_key(path)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key.secret) == 64
    assert [file.name for file in path.parent.iterdir()] == ["token.key"]


def test_it_stays_what_it_is(path: Path) -> None:
    first = open_token_key(path)
    before = path.stat()
    assert open_token_key(path) == first
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_no_two_are_alike(tmp_path: Path) -> None:
    one, other = open_token_key(tmp_path / "a"), open_token_key(tmp_path / "b")
    assert one.secret != other.secret
    assert one.kid != other.kid


def test_what_was_left_by_a_crash_while_it_was_made_is_no_key(path: Path) -> None:
    path.with_name("token.key.new").write_text("half")
    assert len(open_token_key(path).secret) == 64
    assert not path.with_name("token.key.new").exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"x" * 31 + b"\n"])
def test_a_damaged_key_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StateDirError, match=r"token\.key: the key is damaged"):
        open_token_key(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    open_token_key(path)
    path.chmod(mode)
    with pytest.raises(StateDirError, match=f"mode 0{mode:o}.*chmod 600"):
        open_token_key(path)


def test_a_key_of_ones_own_is_taken_as_it_is(path: Path) -> None:
    path.write_text("a key that somebody wrote by hand, long enough\n")
    path.chmod(0o600)
    assert open_token_key(path).secret == b"a key that somebody wrote by hand, long enough"


def test_a_key_that_cannot_be_made_or_read_is_said_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "token.key", tmp_path):
        with pytest.raises(StateDirError) as refusal:
            open_token_key(path)
        assert str(path) in refusal.value.message
        assert "\n" not in refusal.value.message


def test_what_it_signs_is_a_jwt_for_anybody_who_has_the_file(path: Path) -> None:
    token = open_token_key(path).sign(b'{"sub":"anna"}')
    assert jwt.decode(token, path.read_text(), algorithms=["HS256"]) == {"sub": "anna"}
    assert jwt.get_unverified_header(token)["kid"] == open_token_key(path).kid


def test_it_does_not_show_itself(path: Path) -> None:
    key = open_token_key(path)
    assert key.secret.decode() not in repr(key)
    assert key.secret.decode() not in f"{key}"
