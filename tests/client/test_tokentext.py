"""What a token says, without looking at who signed it."""

from __future__ import annotations

import base64
import json

import pytest

from supervisor.client.tokentext import is_token, read_token
from supervisor.errors import BadValue


def a_token(**claims: object) -> str:
    parts = ({"alg": "none"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join(text.rstrip("=") for text in [*texts, "c2ln"])


def test_header_and_claims_are_read_whoever_signed_them() -> None:
    said = read_token(a_token(sub="me", jti="x", exp=5.5))
    assert (said.header, said.claims["sub"], said.jti) == ({"alg": "none"}, "me", "x")


@pytest.mark.parametrize(
    ("exp", "until"), [(5, 5), (5.2, 6), ("5", None), (True, None), (-1, None), (1e300, None)]
)
def test_it_has_expired_in_the_second_after_exp(exp: object, until: int | None) -> None:
    assert read_token(a_token(exp=exp)).until == until


def test_one_without_exp_or_name_says_so() -> None:
    assert read_token(a_token()).until is None
    with pytest.raises(BadValue, match="no name"):
        _ = read_token(a_token()).jti


@pytest.mark.parametrize("text", ["", "devtoken", "a.b", "a.b.c", a_token()[1:], "[" * 5000])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        read_token(text)
    assert is_token(a_token())
    assert not is_token("devtoken")
