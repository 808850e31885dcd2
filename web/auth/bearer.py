"""Bearers of JWTs and tickets: what each may do, and until when.

Every JWT comes through here, whatever door it came to. A ticket counts at one door alone: that of
the stream that it is for.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import trio
from msgspec import Struct

from supervisor.access.claims import Claims
from supervisor.access.tokenkey import ISSUER
from supervisor.access.tokens import TICKET_TYPE, Ticket, Tokens
from supervisor.config.authtable import AuthSettings
from supervisor.errors import Forbidden, Unauthenticated
from web.auth.jwks import KeyUrl, Pace
from web.auth.keys import Key, own_key
from web.auth.verify import Opened, Policy, decode_payload, judge, open_token, read_header

# The wall clock may be set while a stream waits for its token's end.
_LOOK_EVERY_S = 30.0

Check = Callable[[], None]
"""Raises Unauthenticated when a token is good no more."""


class Showing(Struct, frozen=True, kw_only=True):
    """A token, and at which door it is shown.

    `stream_of` is the run whose stream is asked for, if one is. `in_url` says that the token
    stood in an address, where others may see it.
    """

    token: str
    stream_of: str | None = None
    in_url: bool = False


class Bearer:
    """Knows the keys. Made by `open_bearer`."""

    def __init__(
        self, settings: AuthSettings, keys: Sequence[Key], urls: Sequence[KeyUrl], tokens: Tokens
    ) -> None:
        """See open_bearer, which is how to get one."""
        self.tokens = tokens
        self._settings = settings
        self._own = own_key(tokens.key)
        self._keys = (self._own, *keys)
        self._urls = urls
        issuer = (settings.issuer,) if settings.issuer else ()
        # What we issued says so; where no issuer is asked for, nobody has to say anything.
        self._own_policy = Policy(
            issuers=(*issuer, ISSUER) if issuer else (),
            audience=settings.audience,
            leeway_s=settings.leeway_s,
        )
        self._policy = Policy(
            issuers=issuer,
            audience=settings.audience,
            leeway_s=settings.leeway_s,
            scope_claim=settings.scope_claim,
            scope_map=settings.scope_map,
        )

    async def claims_of(self, showing: Showing) -> Claims:
        """What the bearer of a token may do.

        Raises Unauthenticated; Forbidden for a ticket at another door than its own.
        """
        opened = await self._open(showing.token)
        if opened.header.typ == TICKET_TYPE:
            return await self._use_ticket(opened, showing.stream_of)
        self.check_door(showing)
        policy = self._own_policy if opened.key.own else self._policy
        claims = judge(opened.payload, policy, datetime.now(UTC))
        self._check_revoked(claims)
        return claims

    def check_door(self, showing: Showing) -> None:
        """Raise Unauthenticated if a token should not have stood in an address."""
        if showing.in_url and not self._settings.query_token:
            raise Unauthenticated("this server takes no tokens in addresses, only tickets")

    def check_of(self, claims: Claims) -> Check | None:
        """What to call now and then while something goes on that began with `claims`.

        None for claims that are good for ever.
        """
        if claims.expires_at is None and claims.jti is None:
            return None
        until = self._good_until(claims)

        def check() -> None:
            self._check_revoked(claims)
            if until is not None and until <= datetime.now(UTC):
                raise Unauthenticated("the token has expired")

        return check

    async def wait_ended(self, claims: Claims) -> None:
        """Return when what `claims` were made from has expired or was revoked."""
        until = self._good_until(claims)
        while not self.tokens.is_revoked(claims.jti):
            left_s = math.inf
            if until is not None:
                left_s = min(_LOOK_EVERY_S, (until - datetime.now(UTC)).total_seconds())
            if left_s <= 0:
                return
            with trio.move_on_after(left_s):
                await self.tokens.revoked.wait()

    def _good_until(self, claims: Claims) -> datetime | None:
        """When something that begins now has to end.

        The leeway is for clocks that differ when a token is shown: one that is good now ends at
        its expiry, and only one that is past it already lasts as long as the leeway.
        """
        until = claims.expires_at
        if until is not None and until <= datetime.now(UTC):
            until += timedelta(seconds=self._settings.leeway_s)
        return until

    async def _open(self, token: str) -> Opened:
        """The token, if a known key has signed it; one not known yet may be at a URL by now."""
        header = read_header(token)
        opened = open_token(token, header, self._known())
        if opened is None and self._is_missing(header.kid):
            for url in self._urls:
                await url.wait_fetched()
            opened = open_token(token, header, self._known())
        if opened is None:
            raise Unauthenticated("the token is not valid")
        return opened

    def _known(self) -> list[Key]:
        return [*self._keys, *(key for url in self._urls for key in url.keys)]

    def _is_missing(self, kid: str | None) -> bool:
        """Whether newer keys could help: those there are have other names, or are none yet."""
        fetched = [key.kid for url in self._urls for key in url.keys]
        return kid not in fetched if kid is not None else not fetched

    async def _use_ticket(self, opened: Opened, stream_of: str | None) -> Claims:
        if not opened.key.own:
            raise Unauthenticated("the token is not valid")
        if stream_of is None:
            raise Forbidden("a ticket opens the stream of one run and nothing else")
        ticket = decode_payload(opened.payload, Ticket)
        if ticket.run != stream_of:
            raise Forbidden("the ticket is for the stream of another run")
        return await self.tokens.use_ticket(ticket)

    def _check_revoked(self, claims: Claims) -> None:
        if self.tokens.is_revoked(claims.jti):
            raise Unauthenticated("the token has been revoked")


@asynccontextmanager
async def open_bearer(
    settings: AuthSettings, keys: Sequence[Key], tokens: Tokens, *, pace: Pace | None = None
) -> AsyncIterator[Bearer]:
    """Bearers of tokens signed with `keys`, with our own, or with those at the configured URLs."""
    urls = [KeyUrl(url, pace) for url in settings.jwks_urls]
    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(url.keep_fetching)
        yield Bearer(settings, keys, urls, tokens)
        nursery.cancel_scope.cancel()
