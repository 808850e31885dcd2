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

from supervisor.access.claims import Claims, full_claims
from supervisor.access.tokens import Tokens
from supervisor.errors import ConfigError, Unauthenticated
from supervisor.model import Actor
from web.auth.bearer import Bearer, Check, Showing
from web.fence.peer import Peer

TOKEN_VARIABLE = "WS_AUTH_TOKEN"  # noqa: S105 - a name, not a secret
DEV_TOKEN = "devtoken"  # noqa: S105 - public by intent
MIN_TOKEN_LENGTH = 32


NOBODY = Claims(actor=Actor("nobody", "anonymous"), scopes=frozenset())
"""Who asks where nobody is asked who they are."""


class Auth:
    """Knows the fixed tokens, and with `bearer` all others."""

    def __init__(self, fixed: Mapping[str, Claims], bearer: Bearer | None = None) -> None:
        """`fixed` are tokens that are good as long as the server runs, with what each allows."""
        self._fixed = fixed
        self._bearer = bearer
        self._names: dict[int, str] = {}

    def with_bearer(self, bearer: Bearer) -> Auth:
        """The same, for bearers of JWTs and tickets too."""
        return Auth(self._fixed, bearer)

    @property
    def tokens(self) -> Tokens:
        """The tokens that this server issues."""
        assert self._bearer is not None  # noqa: S101 - a server has one
        return self._bearer.tokens

    async def claims_of(
        self, peer: Peer, token: str | None, *, stream_of: str | None = None, in_url: bool = False
    ) -> Claims:
        """What a request may do that came from `peer` with `token`.

        `stream_of` is the run whose stream it is for, which is where a ticket counts; `in_url`
        says that the token stood in the address.

        Raises Unauthenticated, and Forbidden for a ticket that is for something else.
        """
        if token is not None:
            return await self._claims_of_token(
                Showing(token=token, stream_of=stream_of, in_url=in_url)
            )
        if peer.uid is not None:
            return full_claims(Actor("user", await self._user_name(peer.uid)))
        raise Unauthenticated("a token is needed: Authorization: Bearer TOKEN")

    def check_of(self, claims: Claims) -> Check | None:
        """What to call now and then while something goes on that began with `claims`.

        None for claims that are good for ever.
        """
        return None if self._bearer is None else self._bearer.check_of(claims)

    async def wait_ended(self, claims: Claims) -> None:
        """Return when what `claims` were made from is good no more; fixed tokens always are."""
        if self._bearer is None:
            await trio.sleep_forever()
        else:
            await self._bearer.wait_ended(claims)

    async def _claims_of_token(self, showing: Showing) -> Claims:
        # What is no text in UTF-8, which half a surrogate pair is not, equals no token.
        given = showing.token.encode("utf-8", "replace")
        found: Claims | None = None
        # All are compared, and each in constant time, so that time tells nothing about any.
        for known, claims in self._fixed.items():
            if hmac.compare_digest(known.encode(), given):
                found = claims
        if self._bearer is None:
            if found is None:
                raise Unauthenticated("the token is not valid")
            return found
        if found is None:
            return await self._bearer.claims_of(showing)
        self._bearer.check_door(showing)
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
