"""Who is asking, and what they may do: the one place that turns a request into `Claims`.

Every door ends here. A caller on the Unix socket is known by the kernel and needs no token: whoever
may open the socket (its owner, its group, root: mode 0660) could do as much without us. Everybody
else brings a token. A token that is given is what counts, on the Unix socket too, so that a
narrower one is narrower everywhere.
"""

from __future__ import annotations

import hmac
import pwd
from collections.abc import Mapping

import trio

from supervisor.access import Claims, full_claims
from supervisor.errors import ConfigError, Unauthenticated
from supervisor.model import Actor
from web.peer import Peer

TOKEN_VARIABLE = "WS_AUTH_TOKEN"  # noqa: S105 - a name, not a secret
DEV_TOKEN = "devtoken"  # noqa: S105 - public by intent
MIN_TOKEN_LENGTH = 32


NOBODY = Claims(actor=Actor("nobody", "anonymous"), scopes=frozenset())
"""Who asks where nobody is asked who they are."""


class Auth:
    """Knows the tokens."""

    def __init__(self, tokens: Mapping[str, Claims]) -> None:
        """`tokens` are fixed ones, each with what it allows."""
        self._tokens = tokens
        self._names: dict[int, str] = {}

    async def claims_of(self, peer: Peer, token: str | None) -> Claims:
        """What a request may do that came from `peer` with `token`. Raises Unauthenticated."""
        if token is not None:
            return self._claims_of_token(token)
        if peer.uid is not None:
            return full_claims(Actor("user", await self._user_name(peer.uid)))
        raise Unauthenticated("a token is needed: Authorization: Bearer TOKEN")

    async def wait_ended(self, claims: Claims) -> None:
        """Return when what `claims` were made from is good no more; fixed tokens always are."""
        del claims
        await trio.sleep_forever()

    def _claims_of_token(self, token: str) -> Claims:
        given = token.encode()
        found: Claims | None = None
        # All are compared, and each in constant time, so that time tells nothing about any.
        for known, claims in self._tokens.items():
            if hmac.compare_digest(known.encode(), given):
                found = claims
        if found is None:
            raise Unauthenticated("the token is not valid")
        return found

    async def _user_name(self, uid: int) -> str:
        if uid not in self._names:
            # Users may live in a directory on the network.
            self._names[uid] = await trio.to_thread.run_sync(_look_up, uid)
        return self._names[uid]


def _look_up(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def make_auth(environ: Mapping[str, str], *, dev: bool) -> Auth:
    """The tokens that the environment gives, and `devtoken` with `dev`.

    Raises ConfigError if WS_AUTH_TOKEN could be guessed.
    """
    tokens: dict[str, Claims] = {}
    static = environ.get(TOKEN_VARIABLE, "")
    if static:
        if len(static) < MIN_TOKEN_LENGTH:
            raise ConfigError(
                (f"{TOKEN_VARIABLE} must have {MIN_TOKEN_LENGTH} characters or more",)
            )
        if not _is_token(static):
            raise ConfigError((f"{TOKEN_VARIABLE} must be printable ASCII without spaces",))
        tokens[static] = full_claims(Actor("token", TOKEN_VARIABLE))
    if dev:
        tokens[DEV_TOKEN] = full_claims(Actor("token", DEV_TOKEN))
    return Auth(tokens)


def bearer_token(authorization: str | None) -> str | None:
    """The token in an `Authorization` header (RFC 6750), None if there is no header.

    Raises Unauthenticated for a header of any other kind.
    """
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not _is_token(token):
        raise Unauthenticated("the Authorization header is not `Bearer TOKEN`")
    return token


def _is_token(text: str) -> bool:
    return text != "" and all("!" <= character <= "~" for character in text)
