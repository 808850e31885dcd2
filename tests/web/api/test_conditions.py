"""Limits and the like over HTTP: they hold, are shown, and what cannot be had is refused."""

from __future__ import annotations

from tests.web.served import Site


async def test_a_command_s_conditions_hold_and_are_shown(site: Site) -> None:
    body = {
        "shell": "ulimit -n; umask",
        "limits": {"nofile": 123, "core": "1M"},
        "nice": 3,
        "ionice": "idle",
        "umask": "077",
    }
    answer = await site.http.post("/runs", json=body)
    assert answer.status_code == 201, answer.text
    ended = await site.ended(answer.json()["id"])
    log = await site.http.get(f"/runs/{ended['id']}/log")
    assert log.text == "123\n0077\n"
    shown = ended["spec"]
    assert shown["limits"] == {"nofile": 123, "core": 2**20}
    assert (shown["nice"], shown["ionice"], shown["umask"]) == (3, "idle", "0077")


async def test_a_limit_that_cannot_be_had_is_refused_for_its_field(site: Site) -> None:
    body = {"shell": "true", "limits": {"nofile": 2**31 - 1}}
    answer = await site.http.post("/runs", json=body)
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == ("bad_value", "limits.nofile")


async def test_a_limit_that_does_not_exist_is_refused(site: Site) -> None:
    answer = await site.http.post("/runs", json={"shell": "true", "limits": {"memroy": "1G"}})
    assert answer.status_code == 422
    assert "memroy" in answer.json()["detail"]
