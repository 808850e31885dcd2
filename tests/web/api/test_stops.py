"""Stops over HTTP: whom they are for, what their receipt says, and several at once."""

from __future__ import annotations

import pytest
import trio

from tests.web.served import OpenSite, Site

STUBBORN = "trap '' TERM; sleep 60 & echo ready; wait"
"""Two processes, always the same."""


async def test_the_receipt_tells_all_that_a_stop_did(site: Site) -> None:
    run_id = await site.shell(STUBBORN)
    run = await site.running(run_id, written=len("ready\n"))
    await site.http.post(f"/runs/{run_id}/cancel", json={"grace": 0.2, "scope": "main"})
    ended = await site.ended(run_id)
    receipt = ended["stop"]
    assert receipt["cause"] == "cancel"
    assert receipt["policy"] == {"signal": "TERM", "grace_s": 0.2, "scope": "main"}
    assert (receipt["requested_by"]["name"], receipt["forced_by"]) == ("WS_AUTH_TOKEN", None)
    term, kill = receipt["steps"][:2]
    assert (term["target"], term["pids"]) == (f"process {run['pid']}", [run["pid"]])
    assert (term["signal"], term["result"], kill["signal"]) == ("TERM", "sent", "KILL")
    assert term["took_s"] >= 0.2
    assert set(term["left"]) == set(kill["pids"]) > {run["pid"]}
    assert receipt["steps"][-1]["left"] == receipt["survivors"] == []
    assert receipt["took_s"] >= sum(step["took_s"] for step in receipt["steps"])
    assert receipt["escalated"] is True
    events = (await site.http.get(f"/runs/{run_id}/events")).json()["events"]
    kinds = [it["entry"]["event"]["type"] for it in events]
    assert kinds[-1] == "cancelled"
    assert kinds.count("stop_requested") == 1
    assert kinds.count("signalled") == len(receipt["steps"])


async def test_two_cancels_at_once_are_one_stop(site: Site) -> None:
    run_id = await site.shell("echo ready; sleep 60")
    await site.running(run_id, written=len("ready\n"))
    codes: list[int] = []

    async def cancel() -> None:
        codes.append((await site.http.post(f"/runs/{run_id}/cancel")).status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(cancel)
    assert set(codes) <= {200, 202}
    ended = await site.ended(run_id)
    assert (ended["status"], [it["signal"] for it in ended["stop"]["steps"]]) == (
        "cancelled",
        ["TERM"],
    )


async def test_who_forced_it_is_told(site: Site) -> None:
    run_id = await site.shell(STUBBORN)
    await site.running(run_id, written=len("ready\n"))
    await site.http.post(f"/runs/{run_id}/cancel", json={"grace": "1h"})
    await site.http.post(f"/runs/{run_id}/cancel", json={"force": True})
    receipt = (await site.ended(run_id))["stop"]
    assert receipt["forced_by"] == receipt["requested_by"]
    assert receipt["forced_at"] >= receipt["requested_at"]


async def test_a_signal_may_be_for_the_first_process_alone(site: Site) -> None:
    run_id = await site.shell("trap 'exit 3' USR1; sleep 60 & echo ready; wait")
    run = await site.running(run_id, written=len("ready\n"))
    await site.http.post(f"/runs/{run_id}/signal", json={"signal": "USR1", "scope": "main"})
    ended = await site.ended(run_id)
    assert (ended["exit_code"], ended["stop"]) == (3, None)
    events = (await site.http.get(f"/runs/{run_id}/events")).json()["events"]
    [signalled] = [it["entry"] for it in events if it["entry"]["event"]["type"] == "signalled"]
    assert signalled["event"]["step"]["pids"] == [run["pid"]]
    assert signalled["by"]["name"] == "WS_AUTH_TOKEN"


@pytest.mark.parametrize("call", ["cancel", "signal"])
async def test_a_scope_that_is_none_is_refused_by_name(site: Site, call: str) -> None:
    run_id = await site.shell("sleep 60")
    body = {"signal": "TERM", "scope": "all"}
    answer = await site.http.post(f"/runs/{run_id}/{call}", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "scope")
    assert (await site.run(run_id))["stop"] is None


async def test_limits_can_be_given_with_the_run(open_site: OpenSite) -> None:
    async with open_site(max_running=1) as site:
        holder = await site.shell("sleep 600")
        hasty = await site.shell("true", queue_timeout="100ms")
        ended = await site.ended(hasty)
        assert (ended["reason"], ended["spec"]["queue_timeout_s"]) == ("queue_timeout", 0.1)
        await site.http.post(f"/runs/{holder}/cancel", json={"force": True})
        ended = await site.ended(await site.shell("sleep 600", no_output_timeout=0.3))
        assert (ended["reason"], ended["stop"]["cause"]) == (
            "no_output_timeout",
            "no_output_timeout",
        )


@pytest.mark.parametrize("field", ["timeout", "queue_timeout", "no_output_timeout"])
async def test_a_limit_that_is_none_is_refused_by_name(site: Site, field: str) -> None:
    answer = await site.http.post("/runs", json={"shell": "true", field: 0})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
