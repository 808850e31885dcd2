"""The server's own tokens and tickets: made, listed, revoked, used once; also across a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
import trio
import trio.testing

from supervisor.access.claims import Claims, Scope, full_claims
from supervisor.access.tokenkey import TokenKey
from supervisor.access.tokens import TICKET_TYPE, Ticket, Tokens, open_tokens
from supervisor.errors import BadValue, Forbidden, NoSuchToken, Unauthenticated
from supervisor.journal import open_journal
from supervisor.model import Actor
from supervisor.wire import NewTicket, TokenRequest

ANNA = full_claims(Actor("user", "anna"))
KEY = TokenKey("k1", b"s" * 64)
READ = TokenRequest(scope="runs:read")


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def started(directory: Path, **wishes: Any) -> AsyncIterator[Tokens]:
    """The tokens of a server that starts on this state and ends."""
    with trio.fail_after(60):
        async with (
            open_journal(directory / "journal.db") as journal,
            open_tokens(journal, KEY, **wishes) as tokens,
        ):
            yield tokens


@pytest.fixture
async def tokens(tmp_path: Path) -> AsyncIterator[Tokens]:
    async with started(tmp_path) as opened:
        yield opened


def said(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, KEY.secret, ["HS256"], {"verify_aud": False})
    return claims


def ticket_of(new: NewTicket) -> Ticket:
    return msgspec.convert(said(new.ticket), Ticket)


class TestIssuing:
    async def test_a_token_says_what_was_asked(self, tokens: Tokens) -> None:
        before = int(now().timestamp())
        new = await tokens.issue(
            TokenRequest(
                scope="runs:submit runs:read", sub="ci", runs=("ci-*",), jobs=(), lifetime="2h"
            ),
            ANNA,
        )
        claims = said(new.token)
        issued = claims.pop("iat")
        assert before <= issued <= int(now().timestamp())
        assert claims.pop("exp") == issued + 7200
        assert claims == {
            "iss": "runwire",
            "sub": "ci",
            "scope": "runs:read runs:submit",
            "runs": ["ci-*"],
            "jobs": [],
            "jti": new.jti,
        }
        assert jwt.get_unverified_header(new.token) == {"alg": "HS256", "kid": "k1", "typ": "JWT"}

    async def test_what_was_not_asked_is_usual(self, tokens: Tokens) -> None:
        new = await tokens.issue(READ, ANNA)
        claims = said(new.token)
        assert set(claims) == {"iss", "sub", "scope", "iat", "exp", "jti"}
        assert claims["sub"] == "anna"
        assert claims["exp"] - claims["iat"] == 24 * 3600

    async def test_it_is_made_out_to_the_servers_audience(self, tmp_path: Path) -> None:
        async with started(tmp_path, audience="runwire") as tokens:
            assert said((await tokens.issue(READ, ANNA)).token)["aud"] == "runwire"

    async def test_the_answer_tells_what_the_list_tells(self, tokens: Tokens) -> None:
        first = await tokens.issue(READ, ANNA)
        second = await tokens.issue(TokenRequest(scope="admin", runs=("a",)), ANNA)
        listed = await tokens.list_tokens(ANNA)
        assert [view.jti for view in listed] == [second.jti, first.jti]
        for view, new in zip(listed, (second, first), strict=True):
            told = {n: getattr(new, n) for n in new.__struct_fields__ if n != "token"}
            assert msgspec.structs.asdict(view) == told | {"revoked_at": None, "revoked_by": None}
        assert listed[0].created_by == ANNA.actor

    @pytest.mark.parametrize(
        ("field", "wish"),
        [
            ("scope", {"scope": ""}),
            ("scope", {"scope": "runs:reed"}),
            ("sub", {"sub": ""}),
            ("sub", {"sub": "a\nb"}),
            ("sub", {"sub": "x" * 257}),
            ("runs", {"runs": ("a b",)}),
            ("jobs", {"jobs": ("*",) * 65}),
            ("lifetime", {"lifetime": "0s"}),
            ("lifetime", {"lifetime": -5}),
            ("lifetime", {"lifetime": "soon"}),
            ("lifetime", {"lifetime": "500ms"}),
        ],
    )
    async def test_a_wish_that_makes_no_sense_is_refused_by_name(
        self, tokens: Tokens, field: str, wish: dict[str, Any]
    ) -> None:
        request = msgspec.structs.replace(READ, **wish)
        with pytest.raises(BadValue) as refusal:
            await tokens.issue(request, ANNA)
        assert refusal.value.field == field
        assert await tokens.list_tokens(ANNA) == []


class TestWhoMay:
    @pytest.mark.parametrize("scope", [s for s in Scope if s is not Scope.ADMIN])
    async def test_only_admins_manage_tokens(self, tokens: Tokens, scope: Scope) -> None:
        claims = Claims(actor=ANNA.actor, scopes=frozenset({scope}))
        with pytest.raises(Forbidden) as refusal:
            await tokens.issue(READ, claims)
        assert refusal.value.scope == "admin"
        with pytest.raises(Forbidden):
            await tokens.list_tokens(claims)
        with pytest.raises(Forbidden):
            await tokens.revoke("x", claims, until=now())
        assert not tokens.is_revoked("x")

    @pytest.mark.parametrize("narrow", [{"runs": ("*",)}, {"jobs": ("*",)}])
    async def test_a_narrowed_admin_makes_no_tokens(
        self, tokens: Tokens, narrow: dict[str, Any]
    ) -> None:
        claims = msgspec.structs.replace(ANNA, **narrow)
        with pytest.raises(Forbidden, match="narrowed"):
            await tokens.issue(READ, claims)
        with pytest.raises(Forbidden, match="narrowed"):
            await tokens.revoke("x", claims, until=now())

    async def test_nobody_gives_what_they_have_not(self, tokens: Tokens) -> None:
        claims = Claims(actor=ANNA.actor, scopes=frozenset({Scope.ADMIN, Scope.RUNS_READ}))
        await tokens.issue(READ, claims)
        with pytest.raises(Forbidden) as refusal:
            await tokens.issue(TokenRequest(scope="runs:read runs:exec"), claims)
        assert refusal.value.scope == "runs:exec"


class TestRevoking:
    async def test_a_revoked_token_is_known_at_once_and_listed(self, tokens: Tokens) -> None:
        new = await tokens.issue(READ, ANNA)
        assert not tokens.is_revoked(new.jti)
        await tokens.revoke(new.jti, ANNA)
        assert tokens.is_revoked(new.jti)
        (view,) = await tokens.list_tokens(ANNA)
        assert view.revoked_by == ANNA.actor
        await tokens.revoke(new.jti, ANNA)

    async def test_streams_are_woken(self, tokens: Tokens) -> None:
        new = await tokens.issue(READ, ANNA)
        seen: list[bool] = []

        async def stream() -> None:
            await tokens.revoked.wait()
            seen.append(tokens.is_revoked(new.jti))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream)
            await trio.testing.wait_all_tasks_blocked()
            await tokens.revoke(new.jti, ANNA)
        assert seen == [True]

    async def test_a_name_that_nobody_knows_is_refused(self, tokens: Tokens) -> None:
        with pytest.raises(NoSuchToken):
            await tokens.revoke("unknown", ANNA)
        assert not tokens.is_revoked("unknown")

    async def test_a_foreign_token_can_be_revoked(self, tokens: Tokens) -> None:
        await tokens.revoke("foreign", ANNA, until=now() + timedelta(hours=1))
        assert tokens.is_revoked("foreign")

    async def test_a_token_without_name_is_never_revoked(self, tokens: Tokens) -> None:
        assert not tokens.is_revoked(None)

    async def test_revoked_stays_revoked_across_a_restart(self, tmp_path: Path) -> None:
        async with started(tmp_path) as tokens:
            new, other = [await tokens.issue(READ, ANNA) for _ in range(2)]
            await tokens.revoke(new.jti, ANNA)
            await tokens.revoke("foreign", ANNA, until=now() + timedelta(hours=1))
        async with started(tmp_path) as tokens:
            assert tokens.is_revoked(new.jti)
            assert tokens.is_revoked("foreign")
            assert not tokens.is_revoked(other.jti)
            assert len(await tokens.list_tokens(ANNA)) == 2

    async def test_what_expired_long_ago_is_forgotten(self, tmp_path: Path) -> None:
        async with started(tmp_path) as tokens:
            await tokens.revoke("old", ANNA, until=now() - timedelta(days=8))
            await tokens.revoke("new", ANNA, until=now() - timedelta(days=6))
            await tokens.prune()
            assert not tokens.is_revoked("old")
            assert tokens.is_revoked("new")
        async with started(tmp_path) as tokens:
            assert not tokens.is_revoked("old")
            assert tokens.is_revoked("new")


class TestTickets:
    async def test_a_ticket_is_told_from_a_token_by_its_header(self, tokens: Tokens) -> None:
        new = tokens.make_ticket("r1", ANNA)
        assert jwt.get_unverified_header(new.ticket)["typ"] == TICKET_TYPE

    async def test_it_lasts_some_seconds(self, tokens: Tokens) -> None:
        before = now()
        new = tokens.make_ticket("r1", ANNA)
        assert before + timedelta(seconds=20) < new.expires_at <= now() + timedelta(seconds=30)
        assert ticket_of(new).exp == new.expires_at.timestamp()

    async def test_it_does_not_outlast_the_token_it_was_made_with(self, tokens: Tokens) -> None:
        soon = now() + timedelta(seconds=15)
        new = tokens.make_ticket("r1", msgspec.structs.replace(ANNA, expires_at=soon))
        assert new.expires_at <= soon

    async def test_it_opens_one_runs_stream_for_who_asked(self, tokens: Tokens) -> None:
        end = now().replace(microsecond=0) + timedelta(hours=1)
        asker = msgspec.structs.replace(ANNA, expires_at=end, jti="parent", jobs=("*",))
        claims = await tokens.use_ticket(ticket_of(tokens.make_ticket("r1", asker)))
        assert claims == Claims(
            actor=ANNA.actor,
            scopes=frozenset({Scope.RUNS_READ}),
            runs=("r1",),
            expires_at=end,
            jti="parent",
        )

    async def test_a_second_use_is_refused(self, tokens: Tokens) -> None:
        ticket = ticket_of(tokens.make_ticket("r1", ANNA))
        await tokens.use_ticket(ticket)
        with pytest.raises(Unauthenticated, match="has been used"):
            await tokens.use_ticket(ticket)
        await tokens.use_ticket(ticket_of(tokens.make_ticket("r1", ANNA)))

    async def test_of_two_uses_at_once_exactly_one_wins(self, tokens: Tokens) -> None:
        for _ in range(20):
            ticket = ticket_of(tokens.make_ticket("r1", ANNA))
            outcomes: list[str] = []

            async def use(ticket: Ticket, outcomes: list[str]) -> None:
                try:
                    await tokens.use_ticket(ticket)
                    outcomes.append("opened")
                except Unauthenticated as error:
                    outcomes.append(error.message)

            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(use, ticket, outcomes)
            assert sorted(outcomes) == ["opened", "the ticket has been used"]

    async def test_used_stays_used_across_a_restart(self, tmp_path: Path) -> None:
        async with started(tmp_path) as tokens:
            used, unused = [ticket_of(tokens.make_ticket("r1", ANNA)) for _ in range(2)]
            await tokens.use_ticket(used)
        async with started(tmp_path) as tokens:
            with pytest.raises(Unauthenticated, match="has been used"):
                await tokens.use_ticket(used)
            await tokens.use_ticket(unused)

    async def test_an_expired_one_is_refused(self, tokens: Tokens) -> None:
        ticket = ticket_of(tokens.make_ticket("r1", ANNA))
        late = msgspec.structs.replace(ticket, exp=int(now().timestamp()))
        with pytest.raises(Unauthenticated, match="has expired"):
            await tokens.use_ticket(late)

    async def test_it_dies_with_the_token_it_was_made_with(self, tokens: Tokens) -> None:
        parent = await tokens.issue(READ, ANNA)
        asker = msgspec.structs.replace(ANNA, jti=parent.jti)
        ticket = ticket_of(tokens.make_ticket("r1", asker))
        await tokens.revoke(parent.jti, ANNA)
        with pytest.raises(Unauthenticated, match="revoked"):
            await tokens.use_ticket(ticket)


async def test_nothing_secret_is_logged_or_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with started(tmp_path) as tokens:
        new = await tokens.issue(READ, ANNA)
        ticket = tokens.make_ticket("r1", ANNA)
        await tokens.use_ticket(ticket_of(ticket))
        await tokens.revoke(new.jti, ANNA)
        signatures = [text.split(".")[-1] for text in (new.token, ticket.ticket)]
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in (*signatures, KEY.secret.decode()):
        assert secret not in caplog.text
        assert secret.encode() not in stored
    assert f"token {new.jti} made for anna by user anna" in caplog.text
    assert f"token {new.jti} revoked by user anna" in caplog.text
