"""Tokens and tickets over HTTP, with the real engine behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
import trio

from supervisor.wire import NewToken
from tests.patience import PATIENCE_S
from tests.web.served import OpenSite, Site


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    assert said["code"] == code
    return said


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def made(site: Site, scope: str = "runs:read", **wishes: Any) -> dict[str, Any]:
    answer = await site.http.post("/tokens", json={"scope": scope, **wishes})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_token_that_was_made_is_good_for_what_it_says(site: Site) -> None:
    new = await made(site, "runs:read", sub="ci")
    assert set(new) == set(NewToken.__struct_fields__)
    assert (new["sub"], new["scope"], new["runs"]) == ("ci", "runs:read", None)
    assert new["created_by"] == {"kind": "token", "name": "WS_AUTH_TOKEN"}
    assert (await site.http.get("/runs", headers=bearer(new["token"]))).status_code == 200
    refused = await site.http.post("/runs", json={"shell": "true"}, headers=bearer(new["token"]))
    assert problem(refused, 403, "forbidden")["scope"] == "runs:submit"


async def test_what_a_bearer_does_is_done_in_their_name(site: Site) -> None:
    new = await made(site, "runs:submit", sub="Grüße")
    answer = await site.http.post("/runs", json={"job": "hello"}, headers=bearer(new["token"]))
    assert answer.json()["created_by"] == {"kind": "token", "name": "Grüße"}
    await site.ended(answer.json()["id"])


async def test_the_list_shows_tokens_without_the_token(site: Site) -> None:
    new = await made(site, jobs=["hel*"])
    (listed,) = (await site.http.get("/tokens")).json()["tokens"]
    assert listed == {n: new[n] for n in new if n != "token"} | {
        "revoked_at": None,
        "revoked_by": None,
    }
    assert new["token"].split(".")[2] not in (await site.http.get("/tokens")).text


async def test_a_revoked_token_is_refused_at_once(site: Site) -> None:
    new = await made(site)
    headers = bearer(new["token"])
    for _ in range(2):
        gone = await site.http.delete(f"/tokens/{new['jti']}")
        assert (gone.status_code, gone.content) == (204, b"")
        refused = problem(await site.http.get("/runs", headers=headers), 401, "unauthenticated")
        assert refused["detail"] == "the token has been revoked"
    (listed,) = (await site.http.get("/tokens")).json()["tokens"]
    assert listed["revoked_by"] == {"kind": "token", "name": "WS_AUTH_TOKEN"}


async def test_a_token_that_nobody_made_is_not_found(site: Site) -> None:
    problem(await site.http.delete("/tokens/unknown"), 404, "no_such_token")
    for until in ("soon", "-1", "1.5", str(10**13)):
        wrong = await site.http.delete(f"/tokens/unknown?until={until}")
        assert problem(wrong, 422, "bad_value")["field"] == "until"


async def test_a_token_made_with_the_key_file_alone_is_good_and_can_be_revoked(
    site: Site,
) -> None:
    """As any program on this machine may make one that can read the state directory."""
    key = (site.socket.parent / "state" / "token.key").read_text()
    exp = int(datetime.now(UTC).timestamp()) + 3600
    token = jwt.encode({"scope": "runs:read", "exp": exp, "jti": "mine"}, key, "HS256")
    assert (await site.http.get("/runs", headers=bearer(token))).status_code == 200
    gone = await site.http.delete(f"/tokens/mine?until={exp}")
    assert gone.status_code == 204
    problem(await site.http.get("/runs", headers=bearer(token)), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "bad_value", None),
        ({"scope": "root"}, 422, "bad_value", "scope"),
        ({"scope": ["runs:read"]}, 422, "bad_value", "scope"),
        ({"scope": "runs:read", "sub": ""}, 422, "bad_value", "sub"),
        ({"scope": "runs:read", "runs": "a"}, 422, "bad_value", "runs"),
        ({"scope": "runs:read", "jobs": ["a b"]}, 422, "bad_value", "jobs"),
        ({"scope": "runs:read", "lifetime": "soon"}, 422, "bad_value", "lifetime"),
        ({"scope": "runs:read", "lifetime": 1e300}, 422, "bad_value", "lifetime"),
        ({"scope": "runs:read", "exp": 1}, 422, "bad_value", "exp"),
        ({"scope": "runs:read", "lifetime": "99y"}, 422, "bad_value", "lifetime"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    site: Site, body: object, status: int, code: str, field: str | None
) -> None:
    said = problem(await site.http.post("/tokens", json=body), status, code)
    assert said.get("field") == field
    assert (await site.http.get("/tokens")).json() == {"tokens": []}


async def test_only_an_admin_without_bounds_manages_tokens(site: Site) -> None:
    plain = await made(site, "runs:read runs:submit runs:exec runs:cancel runs:input metrics:read")
    narrow = await made(site, "runs:read admin", runs=["*"])
    for token in (plain["token"], narrow["token"]):
        for method, path in (("POST", "/tokens"), ("GET", "/tokens"), ("DELETE", "/tokens/x")):
            body = {"scope": "runs:read"} if method == "POST" else None
            refused = await site.http.request(method, path, json=body, headers=bearer(token))
            problem(refused, 403, "forbidden")


async def test_nobody_makes_a_token_that_may_do_more_than_they(site: Site) -> None:
    admin = await made(site, "admin runs:read")
    headers = bearer(admin["token"])
    less = await site.http.post("/tokens", json={"scope": "runs:read"}, headers=headers)
    assert less.status_code == 201
    more = await site.http.post("/tokens", json={"scope": "runs:exec"}, headers=headers)
    assert problem(more, 403, "forbidden")["scope"] == "runs:exec"


class TestReach:
    async def test_a_token_for_some_jobs_sees_and_starts_no_others(self, site: Site) -> None:
        ids = [await site.shell("true", id="adhoc-1")]
        hello = [await site.http.post("/runs", json={"job": "hello"}) for _ in range(2)]
        ids += [answer.json()["id"] for answer in hello]
        for run_id in ids:
            await site.ended(run_id)
        new = await made(site, "runs:read runs:submit runs:exec", jobs=["hel*"])
        headers = bearer(new["token"])
        listed = (await site.http.get("/runs?limit=1", headers=headers)).json()
        assert [run["id"] for run in listed["runs"]] == [ids[2]]
        more = f"/runs?limit=1&before={listed['next']}"
        listed = (await site.http.get(more, headers=headers)).json()
        assert ([run["id"] for run in listed["runs"]], listed["next"]) == ([ids[1]], None)
        for path in ("/runs/adhoc-1", "/runs/adhoc-1/log", "/runs/adhoc-1/events"):
            problem(await site.http.get(path, headers=headers), 404, "no_such_run")
        jobs = (await site.http.get("/jobs", headers=headers)).json()["jobs"]
        assert [job["name"] for job in jobs] == ["hello"]
        other = await site.http.post("/runs", json={"job": "sleeper"}, headers=headers)
        problem(other, 404, "no_such_job")
        adhoc = await site.http.post("/runs", json={"shell": "true"}, headers=headers)
        problem(adhoc, 403, "forbidden")

    async def test_what_is_out_of_reach_cannot_be_told_from_what_is_not_there(
        self, site: Site
    ) -> None:
        await site.ended(await site.shell("true", id="hidden"))
        new = await made(site, "runs:read runs:cancel admin", runs=["mine-*"])
        headers = bearer(new["token"])
        for method, path in (
            ("GET", "/runs/{}"),
            ("GET", "/runs/{}/log"),
            ("GET", "/runs/{}/events"),
            ("POST", "/runs/{}/cancel"),
            ("DELETE", "/runs/{}"),
        ):
            answers = [
                await site.http.request(method, path.format(run_id), headers=headers)
                for run_id in ("hidden", "absent")
            ]
            hidden, absent = (answer.text for answer in answers)
            assert hidden.replace("hidden", "absent") == absent
            assert {answer.status_code for answer in answers} == {404}


class TestTickets:
    async def test_a_ticket_is_for_a_run_that_the_caller_may_read(self, site: Site) -> None:
        run_id = await site.shell("true")
        answer = await site.http.post("/tickets", json={"run": run_id})
        assert answer.status_code == 201
        told = answer.json()
        assert set(told) == {"ticket", "run", "expires_at"}
        left = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
        assert timedelta(0) < left <= timedelta(seconds=30)

    async def test_none_is_made_for_another(self, site: Site) -> None:
        run_id = await site.shell("true", id="hidden")
        await site.ended(run_id)
        narrow = await made(site, "runs:read", runs=["mine-*"])
        blind = await made(site, "runs:cancel")
        post = site.http.post
        refused = await post("/tickets", json={"run": run_id}, headers=bearer(narrow["token"]))
        problem(refused, 404, "no_such_run")
        refused = await post("/tickets", json={"run": run_id}, headers=bearer(blind["token"]))
        problem(refused, 403, "forbidden")
        problem(await post("/tickets", json={"run": "absent"}), 404, "no_such_run")
        problem(await post("/tickets", json={"run": "../x"}), 404, "no_such_run")
        problem(await post("/tickets", json={"run": 7}), 422, "bad_value")
        problem(await post("/tickets", json={}), 422, "bad_value")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/runs"),
            ("GET", "/runs/{}"),
            ("GET", "/runs/{}/log"),
            ("GET", "/runs/{}/log?follow=1"),
            ("POST", "/tickets"),
            ("GET", "/tokens"),
        ],
    )
    async def test_a_ticket_opens_nothing_but_a_stream(
        self, site: Site, method: str, path: str
    ) -> None:
        run_id = await site.shell("true")
        ticket = (await site.http.post("/tickets", json={"run": run_id})).json()["ticket"]
        answer = await site.http.request(
            method, path.format(run_id), headers=bearer(ticket), json={"run": run_id}
        )
        assert "ticket" in problem(answer, 403, "forbidden")["detail"]


async def test_a_token_in_an_address_opens_no_ordinary_endpoint(site: Site) -> None:
    token = (await made(site))["token"]
    del site.http.headers["Authorization"]
    problem(await site.http.get(f"/runs?token={token}"), 401, "unauthenticated")


class TestFollowing:
    """A log that is followed over HTTP ends with its token, and not as if it were complete."""

    async def follow(self, site: Site, run_id: str, token: str) -> bytes:
        """What came before the connection broke. Raises nothing if it ended well."""
        got = b""
        with trio.fail_after(PATIENCE_S):
            async with site.http.stream(
                "GET", f"/runs/{run_id}/log?follow=1", headers=bearer(token)
            ) as answer:
                assert answer.status_code == 200
                async for piece in answer.aiter_raw():
                    got += piece
        return got

    async def test_it_ends_when_the_token_is_revoked(self, site: Site) -> None:
        run_id = (await site.http.post("/runs", json={"job": "sleeper"})).json()["id"]
        await site.running(run_id, written=6)
        new = await made(site)
        async with trio.open_nursery() as nursery:

            async def revoke() -> None:
                await site.http.delete(f"/tokens/{new['jti']}")

            nursery.start_soon(revoke)
            with pytest.raises(httpx.RemoteProtocolError):
                await self.follow(site, run_id, new["token"])

    async def test_it_ends_when_the_token_expires(self, site: Site) -> None:
        run_id = (await site.http.post("/runs", json={"job": "sleeper"})).json()["id"]
        await site.running(run_id, written=6)
        new = await made(site, lifetime="3s")
        with pytest.raises(httpx.RemoteProtocolError):
            await self.follow(site, run_id, new["token"])

    async def test_it_ends_well_when_the_run_does(self, site: Site) -> None:
        run_id = await site.shell("echo hi")
        assert await self.follow(site, run_id, (await made(site))["token"]) == b"hi\n"


async def test_tokens_outlast_the_server_and_so_do_revocations(open_site: OpenSite) -> None:
    async with open_site() as site:
        kept, ended = [await made(site) for _ in range(2)]
        await site.http.delete(f"/tokens/{ended['jti']}")
    async with open_site() as site:
        answers = [
            await site.http.get("/runs", headers=bearer(new["token"])) for new in (kept, ended)
        ]
        assert [answer.status_code for answer in answers] == [200, 401]
        listed = (await site.http.get("/tokens")).json()["tokens"]
        assert {token["jti"]: token["revoked_at"] is None for token in listed} == {
            kept["jti"]: True,
            ended["jti"]: False,
        }
