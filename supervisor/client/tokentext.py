"""What a token says, without looking at who signed it. Pure."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

import msgspec
from msgspec import Struct

from supervisor.errors import BadValue

_TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+", re.ASCII)
_LAST_DATE = 253402300799  # the end of year 9999


class TokenText(Struct, frozen=True):
    """The header and the claims of a token, whoever wrote them."""

    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def jti(self) -> str:
        """Its name. Raises BadValue if it has none."""
        jti = self.claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise BadValue("this token has no name (jti), so that it cannot be revoked")
        return jti

    @property
    def until(self) -> int | None:
        """The second in which it has expired, if it says when."""
        exp = self.claims.get("exp")
        return math.ceil(float(exp)) if exp is not None and is_date(exp) else None


def is_token(text: str) -> bool:
    """Whether it has the form of a JWT."""
    return _TOKEN.fullmatch(text) is not None


def read_token(text: str) -> TokenText:
    """What the token `text` says. Raises BadValue if it is no JWT (RFC 7519)."""
    parts = _TOKEN.fullmatch(text)
    if parts is None:
        raise BadValue("this is no token: it should be three parts in base64url with dots between")
    try:
        raw = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts.groups()]
        header, claims = (msgspec.json.decode(piece, type=dict[str, Any]) for piece in raw)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise BadValue("this is no token: its parts are not JSON objects in base64url") from error
    return TokenText(header, claims)


def is_date(value: object) -> bool:
    """Whether a claim's value can be a time (RFC 7519, NumericDate)."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST_DATE
    )
