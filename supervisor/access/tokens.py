"""The tokens that this server issues: made, listed, revoked, and the tickets made of them.

A token is told once, when it is made, and stored nowhere. What is answered is on disk.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import trio
from msgspec import Struct

from supervisor.access.claims import Claims, Scope, parse_scope, show_scope
from supervisor.access.tokenkey import ISSUER, TokenKey
from supervisor.clock import now
from supervisor.errors import BadValue, Forbidden, StorageUnavailable, Unauthenticated
from supervisor.journal import Journal
from supervisor.model import Actor
from supervisor.pulse import Pulse
from supervisor.reach import check_globs
from supervisor.units import parse_duration
from supervisor.wire import NewTicket, NewToken, TokenRequest, TokenView

TICKET_TYPE = "ticket+jwt"
TICKET_LIFETIME_S = 30
_log = logging.getLogger("runwire.tokens")
_MAX_SUB = 256
_PRUNE_EVERY_S = 3600
# Longer than any leeway, and than a clock is likely to be set back.
_KEPT_AFTER_EXPIRY = timedelta(days=7)


class Ticket(Struct, frozen=True, kw_only=True):
    """What a ticket says: it opens the stream of `run` once, before `exp` (seconds since 1970).

    The stream is that of `kind` and `sub`, who asked for the ticket, and ends as their token
    would: at `until`, or when `of` is revoked.
    """

    jti: str
    run: str
    exp: int
    kind: str
    sub: str
    of: str | None = None
    until: float | None = None

    @property
    def claims(self) -> Claims:
        """What the stream's viewer may do: read this run."""
        return Claims(
            actor=Actor(self.kind, self.sub),
            scopes=frozenset({Scope.RUNS_READ}),
            runs=(self.run,),
            expires_at=None if self.until is None else datetime.fromtimestamp(self.until, UTC),
            jti=self.of,
        )


class Tokens:
    """Issues and revokes. Made by `open_tokens`.

    `revoked` fires after every revocation. Every method that waits may raise StorageUnavailable.
    """

    def __init__(self, journal: Journal, key: TokenKey, *, audience: str | None = None) -> None:
        """See open_tokens, which is how to get one."""
        self.key = key
        self.revoked = Pulse()
        self._journal = journal
        self._audience = audience
        self._revoked: dict[str, datetime] = {}

    async def issue(self, request: TokenRequest, claims: Claims) -> NewToken:
        """Make a token for the caller with these `claims`.

        Raises BadValue naming the field, and Forbidden for a scope that is not the caller's, or
        if the caller's own token is narrowed.
        """
        _check_may_manage(claims)
        created_at = now().wall
        view = _asked(request, claims, created_at)
        await self._journal.add_token(view)
        _log.info("token %s made for %s by %s", view.jti, view.sub, _shown(claims.actor))
        return NewToken(
            token=self.key.sign(msgspec.json.encode(self._payload(view))),
            jti=view.jti,
            sub=view.sub,
            scope=view.scope,
            runs=view.runs,
            jobs=view.jobs,
            created_at=created_at,
            created_by=claims.actor,
            expires_at=view.expires_at,
        )

    async def list_tokens(self, claims: Claims) -> Sequence[TokenView]:
        """Every token that was issued here and has not long expired, newest first."""
        _check_may_manage(claims)
        return await self._journal.list_tokens()

    async def revoke(self, jti: str, claims: Claims, *, until: datetime | None = None) -> None:
        """End a token, and every stream that it holds open. Twice is as good as once.

        `until` is the expiry of a token that somebody else issued.

        Raises NoSuchToken if there is neither a token issued here nor `until`.
        """
        _check_may_manage(claims)
        with trio.CancelScope(shield=True):
            self._revoked[jti] = await self._journal.revoke_token(
                jti, at=now().wall, by=claims.actor, until=until
            )
        _log.info("token %s revoked by %s", jti, _shown(claims.actor))
        self.revoked.fire()

    def is_revoked(self, jti: str | None) -> bool:
        """Whether the token of this name was revoked; one without a name cannot be."""
        return jti in self._revoked

    def make_ticket(self, run_id: str, claims: Claims) -> NewTicket:
        """A ticket for the stream of a run that the caller may read.

        It lasts some seconds, and not longer than the caller's own token.
        """
        expires_at = now().wall + timedelta(seconds=TICKET_LIFETIME_S)
        if claims.expires_at is not None:
            expires_at = min(expires_at, claims.expires_at)
        ticket = Ticket(
            jti=_new_name(),
            run=run_id,
            exp=int(expires_at.timestamp()),
            kind=claims.actor.kind,
            sub=claims.actor.name,
            of=claims.jti,
            until=None if claims.expires_at is None else claims.expires_at.timestamp(),
        )
        return NewTicket(
            ticket=self.key.sign(msgspec.json.encode(ticket), typ=TICKET_TYPE),
            run=run_id,
            expires_at=datetime.fromtimestamp(ticket.exp, UTC),
        )

    async def use_ticket(self, ticket: Ticket) -> Claims:
        """The claims of a ticket that has now been used up.

        Raises Unauthenticated if it has expired, was used before, or the token that it was made
        with is revoked.
        """
        expires_at = datetime.fromtimestamp(ticket.exp, UTC)
        if now().wall >= expires_at:
            raise Unauthenticated("the ticket has expired")
        if not await self._journal.use_ticket(ticket.jti, expires_at=expires_at):
            raise Unauthenticated("the ticket has been used")
        if self.is_revoked(ticket.of):
            raise Unauthenticated("the token that the ticket was made with is revoked")
        return ticket.claims

    async def load(self) -> None:
        """Learn what was revoked before this server started."""
        self._revoked = dict(await self._journal.revoked_tokens())

    async def prune(self) -> None:
        """Forget what expired so long ago that nobody could use it any more."""
        before = now().wall - _KEPT_AFTER_EXPIRY
        await self._journal.prune_tokens(expired_before=before)
        self._revoked = {jti: until for jti, until in self._revoked.items() if until >= before}

    def _payload(self, view: TokenView) -> dict[str, Any]:
        """The claims of the token; what does not narrow is left out."""
        said: dict[str, Any] = {
            "iss": ISSUER,
            "aud": self._audience,
            "sub": view.sub,
            "scope": view.scope,
            "runs": view.runs,
            "jobs": view.jobs,
            "iat": int(view.created_at.timestamp()),
            "exp": int(view.expires_at.timestamp()),
            "jti": view.jti,
        }
        return {name: value for name, value in said.items() if value is not None}


@asynccontextmanager
async def open_tokens(
    journal: Journal, key: TokenKey, *, audience: str | None = None
) -> AsyncIterator[Tokens]:
    """The tokens of this server, signed with `key` and, if given, made out to `audience`."""
    tokens = Tokens(journal, key, audience=audience)
    await tokens.load()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_pruning, tokens)
        yield tokens
        nursery.cancel_scope.cancel()


async def _keep_pruning(tokens: Tokens) -> None:
    while True:
        try:
            await tokens.prune()
        except StorageUnavailable as error:
            _log.warning("expired tokens are not forgotten: %s", error.message)
        await trio.sleep(_PRUNE_EVERY_S)


def _check_may_manage(claims: Claims) -> None:
    claims.require(Scope.ADMIN)
    if claims.narrowed:
        raise Forbidden("a token that is narrowed to some runs or jobs manages no tokens")


def _asked(request: TokenRequest, claims: Claims, created_at: datetime) -> TokenView:
    """The token that is asked for. Raises BadValue, or Forbidden if the caller may do less."""
    scopes = parse_scope(request.scope, field="scope")
    if not scopes:
        raise BadValue("a token needs at least one scope", field="scope")
    for scope in scopes:
        if not claims.allows(scope):
            raise Forbidden(f"a scope that you do not have cannot be given: {scope}", scope=scope)
    sub = claims.actor.name if request.sub is None else request.sub
    if not 0 < len(sub) <= _MAX_SUB or not sub.isprintable():
        raise BadValue(f"must be 1 to {_MAX_SUB} printable characters", field="sub")
    check_globs(request.runs, field="runs")
    check_globs(request.jobs, field="jobs")
    lifetime_s = parse_duration(request.lifetime, field="lifetime")
    if lifetime_s < 1:
        raise BadValue("must be a second or more", field="lifetime")
    expires_s = int(created_at.timestamp()) + int(lifetime_s)
    return TokenView(
        jti=_new_name(),
        sub=sub,
        scope=show_scope(scopes),
        runs=request.runs,
        jobs=request.jobs,
        created_at=created_at,
        created_by=claims.actor,
        expires_at=datetime.fromtimestamp(expires_s, UTC),
    )


def _new_name() -> str:
    return secrets.token_hex(12)


def _shown(actor: Actor) -> str:
    return f"{actor.kind} {actor.name}"
