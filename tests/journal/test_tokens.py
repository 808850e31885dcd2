"""Tokens in the journal: issued ones, revocations and used tickets, across a reopening."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from supervisor.errors import NoSuchToken
from supervisor.journal import Journal, open_journal
from supervisor.model import Actor
from supervisor.wire import TokenView

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANNA = Actor("user", "anna")
BERT = Actor("token", "bert")


def a_token(jti: str, *, created_at: datetime = NOON, lifetime: timedelta = HOUR) -> TokenView:
    return TokenView(
        jti=jti,
        sub="ci",
        scope="runs:read runs:submit",
        runs=("a-*", "b?"),
        jobs=None,
        created_at=created_at,
        created_by=ANNA,
        expires_at=created_at + lifetime,
    )


async def test_issued_tokens_are_listed_newest_first(journal: Journal) -> None:
    old, new = a_token("x", created_at=NOON - HOUR), a_token("a")
    await journal.add_token(old)
    await journal.add_token(new)
    assert await journal.list_tokens() == [new, old]


async def test_a_name_is_given_once(journal: Journal) -> None:
    await journal.add_token(a_token("a"))
    with pytest.raises(sqlite3.IntegrityError):
        await journal.add_token(a_token("a"))


async def test_a_revocation_is_listed_with_when_and_who(journal: Journal) -> None:
    await journal.add_token(a_token("a"))
    assert await journal.revoke_token("a", at=NOON, by=BERT) == NOON + HOUR
    (listed,) = await journal.list_tokens()
    assert (listed.revoked_at, listed.revoked_by) == (NOON, BERT)
    assert await journal.revoked_tokens() == {"a": NOON + HOUR}


async def test_a_second_revocation_changes_nothing(journal: Journal) -> None:
    await journal.add_token(a_token("a"))
    await journal.revoke_token("a", at=NOON, by=BERT)
    await journal.revoke_token("a", at=NOON + HOUR, by=ANNA)
    (listed,) = await journal.list_tokens()
    assert (listed.revoked_at, listed.revoked_by) == (NOON, BERT)


async def test_a_name_that_nobody_knows_is_not_revoked(journal: Journal) -> None:
    with pytest.raises(NoSuchToken):
        await journal.revoke_token("a", at=NOON, by=BERT)
    assert await journal.revoked_tokens() == {}


async def test_a_foreign_token_is_revoked_until_it_would_expire(journal: Journal) -> None:
    assert await journal.revoke_token("f", at=NOON, by=BERT, until=NOON + HOUR) == NOON + HOUR
    assert await journal.revoke_token("f", at=NOON, by=BERT, until=NOON) == NOON + HOUR
    await journal.revoke_token("f", at=NOON, by=BERT, until=NOON + 2 * HOUR)
    assert await journal.revoked_tokens() == {"f": NOON + 2 * HOUR}
    assert await journal.list_tokens() == []


async def test_an_early_until_does_not_shorten_the_revocation_of_an_own_token(
    journal: Journal,
) -> None:
    await journal.add_token(a_token("a"))
    assert await journal.revoke_token("a", at=NOON, by=BERT, until=NOON) == NOON + HOUR


async def test_one_of_many_uses_of_a_ticket_wins(journal: Journal) -> None:
    wins: list[bool] = []

    async def use() -> None:
        wins.append(await journal.use_ticket("t", expires_at=NOON))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(use)
    assert sorted(wins) == [False] * 19 + [True]


async def test_everything_is_there_after_a_restart(path: Path) -> None:
    async with open_journal(path) as journal:
        await journal.add_token(a_token("a"))
        await journal.revoke_token("a", at=NOON, by=BERT)
        assert await journal.use_ticket("t", expires_at=NOON)
    async with open_journal(path) as journal:
        assert [token.revoked_at for token in await journal.list_tokens()] == [NOON]
        assert await journal.revoked_tokens() == {"a": NOON + HOUR}
        assert not await journal.use_ticket("t", expires_at=NOON)


async def test_what_expired_is_pruned_and_nothing_else(journal: Journal) -> None:
    for jti, lifetime in (("gone", HOUR), ("here", 2 * HOUR)):
        await journal.add_token(a_token(jti, lifetime=lifetime))
        await journal.revoke_token(jti, at=NOON, by=ANNA)
        await journal.use_ticket(jti, expires_at=NOON + lifetime)
    await journal.prune_tokens(expired_before=NOON + 2 * HOUR)
    assert [token.jti for token in await journal.list_tokens()] == ["here"]
    assert list(await journal.revoked_tokens()) == ["here"]
    assert await journal.use_ticket("gone", expires_at=NOON)
    assert not await journal.use_ticket("here", expires_at=NOON)


async def test_no_token_is_ever_stored(path: Path, journal: Journal) -> None:
    """The tables have no place for one."""
    await journal.add_token(a_token("a"))
    with sqlite3.connect(path) as plain:
        columns = [row[1] for row in plain.execute("PRAGMA table_info (tokens)")]
    plain.close()
    assert columns == [
        *("jti", "sub", "scope", "runs", "jobs"),
        *("created_at", "actor_kind", "actor_name", "expires_s"),
    ]
