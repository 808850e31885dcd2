"""Tokens in the journal: those issued, those revoked, and tickets used. Never a token itself.

Plain functions over a connection; those that write are each run inside a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from supervisor.errors import NoSuchToken
from supervisor.model import Actor
from supervisor.wire import TokenView

_LIST = """
    SELECT tokens.jti, sub, scope, runs, jobs, created_at, tokens.actor_kind, tokens.actor_name,
        tokens.expires_s, at, revoked_tokens.actor_kind, revoked_tokens.actor_name
    FROM tokens LEFT JOIN revoked_tokens ON revoked_tokens.jti = tokens.jti
    ORDER BY created_at DESC, tokens.jti
"""


def add(database: sqlite3.Connection, token: TokenView) -> None:
    """Store a token that is about to be issued. Its `jti` must be new."""
    database.execute(
        "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            token.jti,
            token.sub,
            token.scope,
            _globs_text(token.runs),
            _globs_text(token.jobs),
            token.created_at.isoformat(timespec="microseconds"),
            token.created_by.kind,
            token.created_by.name,
            _seconds(token.expires_at),
        ),
    )


def list_all(database: sqlite3.Connection) -> list[TokenView]:
    """Every token that was issued and not yet pruned, newest first."""
    return [_view(row) for row in database.execute(_LIST)]


def revoke(
    database: sqlite3.Connection, jti: str, *, at: datetime, by: Actor, until: datetime | None
) -> datetime:
    """Put a token on the list of those revoked; once is as good as twice. Returns its expiry.

    `until` is the expiry of a token that somebody else issued.

    Raises NoSuchToken if there is neither a token issued here nor `until`.
    """
    row = database.execute("SELECT expires_s FROM tokens WHERE jti = ?", (jti,)).fetchone()
    if row is None and until is None:
        raise NoSuchToken("this server has issued no token of that name, or it expired long ago")
    expires_s = int(row[0]) if until is None else max(_seconds(until), *(row or (0,)))
    database.execute(
        "INSERT INTO revoked_tokens VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET expires_s = max(expires_s, excluded.expires_s)",
        (jti, at.isoformat(timespec="microseconds"), by.kind, by.name, expires_s),
    )
    return revoked(database)[jti]


def revoked(database: sqlite3.Connection) -> Mapping[str, datetime]:
    """The expiry of every revoked token, by its `jti`."""
    rows = database.execute("SELECT jti, expires_s FROM revoked_tokens")
    return {jti: datetime.fromtimestamp(expires_s, UTC) for jti, expires_s in rows}


def use_ticket(database: sqlite3.Connection, jti: str, *, expires_at: datetime) -> bool:
    """Note that the ticket is used now. False if it was used before."""
    done = database.execute(
        "INSERT INTO used_tickets VALUES (?, ?) ON CONFLICT DO NOTHING", (jti, _seconds(expires_at))
    )
    return done.rowcount == 1


def prune(database: sqlite3.Connection, *, expired_before: datetime) -> None:
    """Forget what expired before then."""
    for table in ("tokens", "revoked_tokens", "used_tickets"):
        database.execute(
            f"DELETE FROM {table} WHERE expires_s < ?",  # noqa: S608 - built of constants
            (_seconds(expired_before),),
        )


def _view(row: tuple[Any, ...]) -> TokenView:
    jti, sub, scope, runs, jobs, created, kind, name, expires_s, at, by_kind, by_name = row
    return TokenView(
        jti=jti,
        sub=sub,
        scope=scope,
        runs=_globs(runs),
        jobs=_globs(jobs),
        created_at=datetime.fromisoformat(created),
        created_by=Actor(kind, name),
        expires_at=datetime.fromtimestamp(expires_s, UTC),
        revoked_at=None if at is None else datetime.fromisoformat(at),
        revoked_by=None if at is None else Actor(by_kind, by_name),
    )


def _globs_text(globs: tuple[str, ...] | None) -> str | None:
    return None if globs is None else json.dumps(globs)


def _globs(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
