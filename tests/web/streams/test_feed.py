"""`/events` over real sockets: every event of every run that one may see, once, in order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from supervisor.access.claims import Claims, full_claims
from supervisor.model import SYSTEM
from supervisor.wire import TokenRequest
from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, Site
from tests.web.watching import Watcher, watch
from web.auth.auth import Auth
from web.streams import feed

ADMIN = full_claims(SYSTEM)
STORY = ["submitted", "dispatched", "started", "succeeded"]


async def done(site: Site, line: str = "true", **more: object) -> str:
    """A run that has ended; its id."""
    run_id = await site.shell(line, **more)
    await site.ended(run_id)
    return run_id


async def hear_events(watcher: Watcher, count: int) -> Sequence[dict[str, Any]]:
    """So many events, once they have come."""
    while len(found := [m for m in watcher.said if m["type"] == "event"]) < count:
        await watcher.hear()
    return found


async def test_it_begins_with_where_it_is_and_tells_what_happens_from_then_on(site: Site) -> None:
    await done(site)
    async with watch(site, "/events") as watcher:
        assert await watcher.hear() == [{"type": "hello", "seq": 4}]
        run_id = await done(site)
        heard = await hear_events(watcher, 4)
    assert [(m["seq"], m["event"]) for m in heard] == list(zip(range(5, 9), STORY, strict=True))
    assert {m["run"]["id"] for m in heard} == {run_id}
    assert heard[-1]["run"]["status"] == "succeeded"
    history = (await site.http.get(f"/runs/{run_id}/events")).json()["events"]
    assert [m["time"] for m in heard] == [event["entry"]["at"]["wall"] for event in history]


@pytest.mark.parametrize("since", [0, 3, 4])
async def test_with_since_it_goes_on_after_that(site: Site, since: int) -> None:
    await done(site)
    async with watch(site, f"/events?since={since}") as watcher:
        assert await watcher.hear() == [{"type": "hello", "seq": since}]
        await done(site)
        heard = await hear_events(watcher, 8 - since)
    assert [m["seq"] for m in heard] == list(range(since + 1, 9))


async def test_since_may_stand_in_the_hello(site: Site) -> None:
    await done(site)
    async with watch(site, "/events?since=4", token=None) as watcher:
        await watcher.say({"type": "hello", "token": TOKEN, "since": 2})
        assert await watcher.hear() == [{"type": "hello", "seq": 2}]
        assert [m["seq"] for m in await hear_events(watcher, 2)] == [3, 4]


@pytest.mark.parametrize("since", [5, 2**63, 10**30, -1, -(10**30)])
async def test_what_no_event_can_have_been_is_refused(site: Site, since: int) -> None:
    await done(site)
    async with watch(site, "/events", token=None) as watcher:
        await watcher.say({"type": "hello", "token": TOKEN, "since": since})
        assert await watcher.closed() == (4400, "bad_value")


async def test_whoever_is_cut_and_resumes_has_every_event_once(site: Site) -> None:
    dice = random.Random(1)
    heard: list[int] = []

    async def follow() -> None:
        since = 0
        while since < 4 * 12:
            async with watch(site, f"/events?since={since}") as watcher:
                await watcher.hear()
                for _ in range(dice.randint(0, 9)):
                    (event,) = await watcher.hear()
                    since = event["seq"]
                    heard.append(since)
                    if since == 4 * 12:
                        break
                await watcher.cut()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            for _ in range(12):
                await site.shell("true")
    assert heard == list(range(1, 4 * 12 + 1))


async def test_more_events_than_are_read_at_once_come_all(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_PAGE", 3)
    for _ in range(5):
        await done(site)
    async with watch(site, "/events?since=0") as watcher:
        heard = await hear_events(watcher, 4 * 5)
    assert [m["seq"] for m in heard] == list(range(1, 4 * 5 + 1))


async def test_runs_that_were_deleted_are_passed_over(site: Site) -> None:
    first, gone, last = [await done(site) for _ in range(3)]
    async with watch(site, "/events") as watching:
        await watching.hear()
        for run_id in (gone, last):
            assert (await site.http.delete(f"/runs/{run_id}")).status_code == 204
        async with watch(site, "/events?since=0") as watcher:
            heard = await hear_events(watcher, 4)
            assert {m["run"]["id"] for m in heard} == {first}
            new = await done(site)
            heard = await hear_events(watcher, 8)
        assert [m["seq"] for m in heard] == [1, 2, 3, 4, 13, 14, 15, 16]
        # Nor do those stumble who were watching.
        assert {m["run"]["id"] for m in await hear_events(watching, 4)} == {new}


async def test_a_narrowed_token_hears_of_what_is_in_its_reach_only(site: Site) -> None:
    token = await site.tokens.issue(TokenRequest(scope="runs:read", runs=("mine-*",)), ADMIN)
    await done(site, id="mine-1")
    await done(site, id="other-1")
    async with watch(site, "/events?since=0", token=token.token) as watcher:
        await done(site, id="other-2")
        await done(site, id="mine-2")
        heard = await hear_events(watcher, 8)
    assert [m["run"]["id"] for m in heard] == ["mine-1"] * 4 + ["mine-2"] * 4


async def test_a_renewal_with_a_narrower_token_narrows_what_follows(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = trio.Event()
    claims_of = Auth.claims_of

    async def looked_at(*arguments: Any, **more: Any) -> Claims:
        claims = await claims_of(*arguments, **more)
        renewed.set()
        return claims

    token = await site.tokens.issue(TokenRequest(scope="runs:read", runs=("mine",)), ADMIN)
    async with watch(site, "/events") as watcher:
        await watcher.hear()
        await done(site, id="other")
        await hear_events(watcher, 4)
        monkeypatch.setattr(Auth, "claims_of", looked_at)
        await watcher.say({"type": "auth", "token": token.token})
        with trio.fail_after(PATIENCE_S):
            await renewed.wait()
        await done(site, id="other-too")
        await done(site, id="mine")
        heard = await hear_events(watcher, 8)
    assert [m["run"]["id"] for m in heard] == ["other"] * 4 + ["mine"] * 4


async def test_without_the_scope_it_is_closed(site: Site) -> None:
    token = await site.tokens.issue(TokenRequest(scope="runs:submit"), ADMIN)
    async with watch(site, "/events", token=None) as watcher:
        await watcher.say({"type": "hello", "token": token.token})
        assert await watcher.closed() == (4403, "forbidden")
