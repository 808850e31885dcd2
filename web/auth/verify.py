"""What a JWT (RFC 7519) is worth: is it signed by a known key, is it valid now, what does it allow.

Pure. What is told of a token that nobody known has signed is always the same; the holder of a
genuine one is told what is wrong with it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from jwt import PyJWS, PyJWTError
from msgspec import UNSET, Struct, UnsetType

from supervisor.access.claims import Claims, Scope, known_scopes
from supervisor.errors import Unauthenticated
from supervisor.model import Actor
from supervisor.reach import MAX_GLOB_LENGTH, MAX_GLOBS
from supervisor.units import KIB
from web.auth.keys import Key, candidates

MAX_TOKEN = 16 * KIB
_MAX_NAME = 256
_LAST_DATE = 253402300799  # the end of year 9999, the last that a datetime has
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_NO_NAME = "unnamed"
_PLACE = re.compile(r"missing required field `(?P<missing>\w+)`$|at `\$\.(?P<wrong>\w+)")

T = TypeVar("T")


class Policy(Struct, frozen=True, kw_only=True):
    """What a token has to say besides being signed.

    `issuers` and `audience` are those of which it must name one, if there are any. The rest is
    as in `AuthSettings`.
    """

    issuers: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    leeway_s: float = 30.0
    scope_claim: tuple[str, ...] = ("scope",)
    scope_map: dict[str, frozenset[Scope]] = msgspec.field(default_factory=dict)


class Header(Struct, frozen=True):
    """The parameters of a token's header (RFC 7515, 4.1) that matter, as far as we know them."""

    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: msgspec.Raw | UnsetType = UNSET
    b64: msgspec.Raw | UnsetType = UNSET


class Opened(Struct, frozen=True):
    """A token with a good signature: who signed it, and what it says."""

    header: Header
    payload: bytes
    key: Key


def read_header(token: str) -> Header:
    """The header of a token, which anybody may have written. Raises Unauthenticated."""
    if len(token) > MAX_TOKEN:
        raise Unauthenticated(f"the token is longer than {MAX_TOKEN // KIB} KiB")
    form = _FORM.fullmatch(token)
    if form is None:
        raise Unauthenticated("the token is not valid")
    try:
        raw = base64.urlsafe_b64decode(form[1] + "=" * (-len(form[1]) % 4))
        header = msgspec.json.decode(raw, type=Header)
    except (binascii.Error, UnicodeDecodeError, msgspec.MsgspecError, RecursionError) as error:
        raise Unauthenticated("the token is not valid") from error
    if header.crit is not UNSET or header.b64 is not UNSET:
        raise Unauthenticated("the token needs an extension that this server does not have")
    return header


def open_token(token: str, header: Header, keys: Iterable[Key]) -> Opened | None:
    """The token, if one of `keys` has signed it as its header says.

    The algorithm is that of the key; one that the header names only rules keys out.
    """
    for key in candidates(keys, algorithm=header.alg, kid=header.kid):
        try:
            signed = PyJWS().decode_complete(token, key.material, algorithms=[key.algorithm])
        except PyJWTError:
            continue
        return Opened(header, signed["payload"], key)
    return None


def judge(payload: bytes, policy: Policy, now: datetime) -> Claims:
    """The claims of a token with a good signature.

    Raises Unauthenticated if it is not valid now, not meant for us, or says something that
    cannot be understood: a narrowing claim is never passed over.
    """
    said = decode_payload(payload, _Said)
    everything = decode_payload(payload, dict[str, Any])
    expires_at = _date(said.exp, "exp")
    check_time(expires_at, now, policy.leeway_s)
    if said.nbf is not UNSET and now.timestamp() + policy.leeway_s < said.nbf:
        raise Unauthenticated("the token is not valid yet")
    if policy.issuers and said.iss not in policy.issuers:
        raise Unauthenticated("the token is from another issuer (iss)")
    if not _is_meant_for(said.aud, policy.audience):
        raise Unauthenticated("the token is for another audience (aud) than this server's")
    return Claims(
        actor=Actor("token", _name(said.sub)),
        scopes=_scopes(everything, policy),
        runs=_globs(said.runs, "runs"),
        jobs=_globs(said.jobs, "jobs"),
        expires_at=expires_at,
        jti=said.jti,
    )


def check_time(expires_at: datetime, now: datetime, leeway_s: float) -> None:
    """Raise Unauthenticated if `expires_at` lies more than `leeway_s` seconds back."""
    if now.timestamp() - leeway_s >= expires_at.timestamp():
        raise Unauthenticated("the token has expired")


def decode_payload(payload: bytes, kind: type[T]) -> T:
    """A signed payload as a `kind`. Raises Unauthenticated naming the claim that is wrong."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        if place is None:
            raise Unauthenticated("the token's claims are not a JSON object") from error
        missing = place["missing"]
        raise (
            Unauthenticated(f"the token has no {missing}")
            if missing
            else _wrong(place["wrong"], "has another type")
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unauthenticated("the token's claims are not a JSON object") from error


def _wrong(claim: str, why: str) -> Unauthenticated:
    return Unauthenticated(f"a claim of the token is wrong: {claim} {why}")


class _Said(Struct, frozen=True):
    """The registered claims (RFC 7519, 4.1), and ours, with the types they must have."""

    exp: int | float
    nbf: int | float | UnsetType = UNSET
    iat: int | float | UnsetType = UNSET
    iss: str | UnsetType = UNSET
    aud: str | list[str] | UnsetType = UNSET
    sub: str | None = None
    jti: str | None = None
    runs: str | list[str] | UnsetType = UNSET
    jobs: str | list[str] | UnsetType = UNSET


def _date(seconds: float, claim: str) -> datetime:
    if not 0 <= seconds <= _LAST_DATE:
        raise _wrong(claim, "is no date")
    return datetime.fromtimestamp(seconds, UTC)


def _is_meant_for(said: str | list[str] | UnsetType, audience: tuple[str, ...]) -> bool:
    """RFC 7519, 4.1.3: a token that names others, and not us, must be refused."""
    if said is UNSET:
        return not audience
    named = [said] if isinstance(said, str) else said
    return any(name in audience for name in named)


def _name(sub: str | None) -> str:
    if sub is None:
        return _NO_NAME
    if not 0 < len(sub) <= _MAX_NAME or not sub.isprintable():
        raise _wrong("sub", f"must be 1 to {_MAX_NAME} printable characters")
    return sub


def _globs(said: str | list[str] | UnsetType, claim: str) -> tuple[str, ...] | None:
    if said is UNSET:
        return None
    globs = said.split() if isinstance(said, str) else said
    if len(globs) > MAX_GLOBS or any(len(glob) > MAX_GLOB_LENGTH for glob in globs):
        raise _wrong(
            claim, f"has more than {MAX_GLOBS} globs, or one over {MAX_GLOB_LENGTH} characters"
        )
    return tuple(globs)


def _scopes(payload: dict[str, Any], policy: Policy) -> frozenset[Scope]:
    """The scopes that the configured claim holds: words in a text, or in a list of texts."""
    said: object = payload
    for name in policy.scope_claim:
        said = said.get(name) if isinstance(said, dict) else None
    try:
        found = msgspec.convert(said, str | list[str] | None)
    except msgspec.ValidationError:
        raise _wrong(".".join(policy.scope_claim), "must be a text or a list of texts") from None
    texts = [found] if isinstance(found, str) else found or []
    words = [word for text in texts for word in (text, *text.split())]
    mapped = [policy.scope_map[word] for word in words if word in policy.scope_map]
    return known_scopes(words).union(*mapped)
