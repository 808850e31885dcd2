"""Pause and resume over HTTP: what they answer, and what the run says."""

from __future__ import annotations

import pytest

from tests.web.served import OpenSite, Site

TICKING = "while :; do echo tick; sleep 0.02; done"


async def test_a_run_is_paused_and_resumed(site: Site) -> None:
    run_id = await site.shell(TICKING)
    await site.running(run_id, written=len("tick\n"))
    paused = await site.http.post(f"/runs/{run_id}/pause")
    assert (paused.status_code, paused.json()["status"]) == (200, "running")
    since = paused.json()["paused_at"]
    again = await site.http.post(f"/runs/{run_id}/pause")
    assert (again.status_code, again.json()["paused_at"]) == (200, since)
    resumed = await site.http.post(f"/runs/{run_id}/resume")
    assert (resumed.status_code, resumed.json()["paused_at"]) == (200, None)
    assert resumed.json()["paused_s"] > 0
    size = resumed.json()["log"]["size"]
    await site.running(run_id, written=size + len("tick\n") * 2)
    assert (await site.http.post(f"/runs/{run_id}/resume")).status_code == 200
    events = (await site.http.get(f"/runs/{run_id}/events")).json()["events"]
    kinds = [it["entry"]["event"]["type"] for it in events]
    assert kinds == ["submitted", "dispatched", "started", "paused", "resumed"]
    assert events[-1]["entry"]["by"]["name"] == "WS_AUTH_TOKEN"


async def test_a_paused_run_can_be_cancelled(site: Site) -> None:
    run_id = await site.shell("trap 'echo bye; exit 0' TERM; " + TICKING)
    await site.running(run_id, written=len("tick\n"))
    await site.http.post(f"/runs/{run_id}/pause")
    assert (await site.http.post(f"/runs/{run_id}/cancel")).status_code == 202
    ended = await site.ended(run_id)
    assert (ended["status"], ended["exit_code"], ended["paused_at"]) == ("cancelled", 0, None)
    assert (await site.http.get(f"/runs/{run_id}/log?stream=stdout")).text.endswith("tick\nbye\n")


@pytest.mark.parametrize("call", ["pause", "resume"])
async def test_only_what_runs_can_be_paused(open_site: OpenSite, call: str) -> None:
    async with open_site(max_running=1) as site:
        stubborn = await site.shell("trap '' TERM; echo ready; while :; do sleep 1; done")
        waiting = await site.shell("true")
        answer = await site.http.post(f"/runs/{waiting}/{call}")
        assert (answer.status_code, answer.json()["code"]) == (409, "run_not_running")
        await site.running(stubborn, written=len("ready\n"))
        await site.http.post(f"/runs/{stubborn}/cancel", json={"grace": "1h"})
        answer = await site.http.post(f"/runs/{stubborn}/pause")
        assert (answer.status_code, answer.json()["code"]) == (409, "run_not_running")
        await site.http.post(f"/runs/{stubborn}/cancel", json={"force": True})
        await site.ended(stubborn)
        answer = await site.http.post(f"/runs/{stubborn}/{call}")
        assert (answer.status_code, answer.json()["code"]) == (409, "run_ended")
        answer = await site.http.post(f"/runs/no-such-run/{call}")
        assert answer.status_code == 404


async def test_a_shutdown_ends_what_is_paused(site: Site) -> None:
    run_id = await site.shell(TICKING)
    await site.running(run_id, written=len("tick\n"))
    await site.http.post(f"/runs/{run_id}/pause")
    await site.supervisor.stop_all()
    ended = await site.run(run_id)
    assert (ended["status"], ended["signal"], ended["stop"]["cause"]) == (
        "cancelled",
        "TERM",
        "shutdown",
    )
