"""A token that stands in a file: the one that is there when it is shown counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.client.address import Address, url_address, with_token
from supervisor.client.tokenfile import with_current_token
from supervisor.errors import BadValue


def test_it_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    address = Address(host="h", token_file=str(file))
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        current = with_current_token(address)
        assert (current.host, current.token, current.token_file) == ("h", token, None)
        assert current.headers()["Authorization"] == f"Bearer {token}"


def test_without_a_file_the_token_given_counts() -> None:
    address = url_address("http://h", token="given")
    assert with_current_token(address) == address


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two words", b"a\nX-Header: b", b"\xff"])
def test_a_file_without_a_token_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadValue) as raised:
        with_current_token(Address(token_file=str(file)))
    assert raised.value.field in {"token", "token-file"}


def test_a_token_cannot_add_a_header() -> None:
    with pytest.raises(BadValue):
        with_token(Address(), "a\r\nX: b")
