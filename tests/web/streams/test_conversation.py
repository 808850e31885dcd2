"""What is said on a WebSocket once somebody has come in, and tokens that end meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from supervisor.model import Stream
from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, Site
from tests.web.streams.talking import ADMIN, issued, last_words
from tests.web.watching import faucet, status_of, watch
from web.streams import conversation

# --- what is said later ---------------------------------------------------------------------------


NONSENSE: Sequence[dict[str, Any] | str | bytes] = (
    "garbage",
    b"binary",
    b"",
    {"type": "hello", "token": TOKEN},
    {"type": "ack", "offset": 1.5},
    {"type": "seek", "from": 7},
    {"type": "nosuch"},
    '{"type":"ack","offset":' + "9" * 60_000 + "}",
)


async def test_what_makes_no_sense_ends_it(
    site: Site, sleeper: str, subtests: pytest.Subtests
) -> None:
    for said in NONSENSE:
        with subtests.test(said=str(said)[:50]):
            async with watch(site, f"/runs/{sleeper}/stream") as watcher:
                await watcher.hear_bytes(6)
                await watcher.say(said)
                code, _ = await watcher.closed()
                assert code == 4400
                assert last_words(watcher)["type"] == "error"
    assert await status_of(site, sleeper) == "running"


async def test_what_makes_sense_does_not_however_odd(site: Site, sleeper: str) -> None:
    async with watch(site, f"/runs/{sleeper}/stream?window=10") as watcher:
        await watcher.hear_bytes(6)
        for offset in (-1, 0, 5, 6, 7, 10**30, -(10**30)):
            await watcher.say({"type": "ack", "offset": offset})
        await watcher.say({"type": "pong"})
        await watcher.say({"type": "seek", "from": -(10**30)})
        assert (await watcher.hear_until("seek"))[-1] == {"type": "seek", "from": 0}


async def test_a_message_too_long_ends_it(site: Site, sleeper: str) -> None:
    async with watch(site, f"/runs/{sleeper}/stream") as watcher:
        await watcher.hear_bytes(6)
        await watcher.say("x" * (64 * 1024 + 1))
        code, _ = await watcher.closed()
        assert code == 1009


async def test_pings_are_answered_whatever_else_is_said(site: Site, sleeper: str) -> None:
    async with watch(site, f"/runs/{sleeper}/stream") as watcher:
        await watcher.hear_bytes(6)
        for number in range(100):
            await watcher.say({"type": "ack", "offset": number})
        with trio.fail_after(PATIENCE_S):
            await watcher.websocket.ping(b"PROBE")


async def test_a_silent_conversation_is_kept_alive(
    site: Site, sleeper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "HEARTBEAT_S", 0.02)
    for path in (f"/runs/{sleeper}/stream", "/events"):
        async with watch(site, path) as watcher:
            await watcher.hear_until("ping")


async def test_so_is_one_where_all_that_happens_is_left_out(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that nothing passes must not look like a dead connection."""
    monkeypatch.setattr(conversation, "HEARTBEAT_S", 0.02)
    async with (
        faucet(site, tmp_path) as tap,
        watch(site, f"{tap.path}?streams=stdout") as watcher,
        trio.open_nursery() as nursery,
    ):

        async def flood() -> None:
            while True:
                await tap.write(Stream.STDERR, b"x")

        nursery.start_soon(flood)
        await watcher.hear_until("ping")
        nursery.cancel_scope.cancel()


# --- tokens that end ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/runs/{}/stream", "/events"])
async def test_a_revoked_token_ends_what_it_began(site: Site, sleeper: str, path: str) -> None:
    token = await issued(site)
    async with watch(site, path.format(sleeper), token=token.token) as watcher:
        await watcher.hear()
        await site.tokens.revoke(token.jti, ADMIN)
        assert await watcher.closed() == (4401, "unauthenticated")


async def test_unless_it_was_renewed_before(site: Site, sleeper: str) -> None:
    first, second = await issued(site), await issued(site)
    async with watch(site, f"/runs/{sleeper}/stream", token=first.token) as watcher:
        await watcher.hear_bytes(6)
        await watcher.say({"type": "auth", "token": second.token})
        await watcher.say({"type": "seek", "from": 3})
        await watcher.hear_until("seek")  # what was said before it was heard before it
        await site.tokens.revoke(first.jti, ADMIN)
        await watcher.say({"type": "seek", "from": 6})
        while watcher.said[-1] != {"type": "seek", "from": 6}:
            await watcher.hear()
        await site.tokens.revoke(second.jti, ADMIN)
        assert await watcher.closed() == (4401, "unauthenticated")


@pytest.mark.parametrize(
    ("more", "code"),
    [({"runs": ("other",)}, 4404), ({"scope": "runs:submit"}, 4403), (None, 4401)],
)
async def test_a_renewal_that_does_not_allow_it_ends_it(
    site: Site, sleeper: str, more: dict[str, Any] | None, code: int
) -> None:
    token = "wrong"
    if more is not None:
        token = (await issued(site, **more)).token
    async with watch(site, f"/runs/{sleeper}/stream") as watcher:
        await watcher.say({"type": "auth", "token": token})
        assert (await watcher.closed())[0] == code
