"""A stream lasts as long as the token that opened it, by whichever door that came; or a newer one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.web.served import Site
from tests.web.streams.talking import ADMIN, issued
from tests.web.watching import Watcher, over_unix, watch

DOORS = ("header", "address", "first message", "ticket", "Unix socket")


async def come_in(stack: AsyncExitStack, site: Site, run_id: str, door: str, token: str) -> Watcher:
    """A viewer who came in with the token by that door, and has heard all there is so far."""
    path = f"/runs/{run_id}/stream"
    opening: AbstractAsyncContextManager[Watcher]
    match door:
        case "header":
            opening = watch(site, path, token=token)
        case "address":
            opening = watch(site, f"{path}?token={token}", token=None)
        case "first message":
            opening = watch(site, path, token=None)
        case "ticket":
            authorization = {"Authorization": f"Bearer {token}"}
            answer = await site.http.post("/tickets", json={"run": run_id}, headers=authorization)
            opening = watch(site, f"{path}?token={answer.json()['ticket']}", token=None)
        case _:
            opening = watch(site, path, token=token, dial=over_unix)
    watcher = await stack.enter_async_context(opening)
    if door == "first message":
        await watcher.say({"type": "hello", "token": token})
    await watcher.hear_bytes(6)
    return watcher


@pytest.mark.parametrize("door", DOORS)
async def test_a_revoked_token_ends_its_streams_and_no_other(
    site: Site, sleeper: str, door: str
) -> None:
    one, other = await issued(site), await issued(site)
    async with AsyncExitStack() as stack:
        stays = await come_in(stack, site, sleeper, door, other.token)
        ends = await come_in(stack, site, sleeper, door, one.token)
        await site.tokens.revoke(one.jti, ADMIN)
        assert await ends.closed() == (4401, "unauthenticated")
        assert "revoked" in ends.said[-1]["message"]
        await site.http.post(f"/runs/{sleeper}/cancel")
        await stays.hear_until("end")


async def test_an_expired_token_ends_its_streams(site: Site, sleeper: str) -> None:
    exp = datetime.now(UTC).timestamp() + 1.5
    token = site.tokens.key.sign(msgspec.json.encode({"scope": "runs:read", "exp": exp}))
    longer = await issued(site)
    async with AsyncExitStack() as stack:
        ends = [await come_in(stack, site, sleeper, door, token) for door in DOORS]
        renewed = [await come_in(stack, site, sleeper, door, token) for door in DOORS]
        for watcher in renewed:
            await watcher.say({"type": "auth", "token": longer.token})
        for watcher in ends:
            assert await watcher.closed() == (4401, "unauthenticated")
        assert datetime.now(UTC).timestamp() >= exp
        await site.http.post(f"/runs/{sleeper}/cancel")
        for watcher in renewed:
            await watcher.hear_until("end")


RENEWALS: Sequence[tuple[dict[str, Any] | None, int]] = (
    ({"runs": ("other",)}, 4404),
    ({"jobs": ("other",)}, 4404),
    ({"scope": "runs:submit"}, 4403),
    (None, 4401),
)


@pytest.mark.parametrize("door", DOORS)
async def test_a_renewal_that_would_not_come_in_ends_it(
    site: Site, sleeper: str, door: str
) -> None:
    for wishes, code in RENEWALS:
        token = "rubbish" if wishes is None else (await issued(site, **wishes)).token
        async with AsyncExitStack() as stack:
            watcher = await come_in(stack, site, sleeper, door, (await issued(site)).token)
            await watcher.say({"type": "auth", "token": token})
            assert (await watcher.closed())[0] == code


@pytest.mark.parametrize("door", DOORS)
async def test_renewed_again_and_again_it_is_the_newest_that_counts(
    site: Site, sleeper: str, door: str
) -> None:
    tokens = [await issued(site) for _ in range(4)]
    async with AsyncExitStack() as stack:
        watcher = await come_in(stack, site, sleeper, door, tokens[0].token)
        for number, (old, new) in enumerate(itertools.pairwise(tokens)):
            await watcher.say({"type": "auth", "token": new.token})
            await watcher.say({"type": "seek", "from": number})
            # Answered when what was said before it has been heard.
            while {"type": "seek", "from": number} not in watcher.said:
                await watcher.hear()
            await site.tokens.revoke(old.jti, ADMIN)
        await site.tokens.revoke(tokens[-1].jti, ADMIN)
        assert await watcher.closed() == (4401, "unauthenticated")


async def test_on_the_unix_socket_a_token_may_be_shown_later_and_narrows_then(
    site: Site, sleeper: str
) -> None:
    for wishes, code in (({"runs": ("other",)}, 4404), ({"scope": "admin"}, 4403)):
        async with watch(site, f"/runs/{sleeper}/stream", token=None, dial=over_unix) as watcher:
            await watcher.hear_bytes(6)
            await watcher.say({"type": "auth", "token": (await issued(site, **wishes)).token})
            assert (await watcher.closed())[0] == code
