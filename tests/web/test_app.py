"""The door that every request passes, and errors as every client sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
import trio

from supervisor.access.claims import Claims, Scope
from supervisor.config.settings import WebLimits
from supervisor.model import Actor
from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, OpenSite, Site
from web.api.endpoints import ROUTES
from web.api.route import Route
from web.auth.auth import Auth

GUARDED = [route for route in ROUTES if route.scopes]
OPEN = [route for route in ROUTES if not route.scopes]


def named(routes: list[Route]) -> Mapping[str, Route]:
    return {f"{route.method} {route.path}": route for route in routes}


def path_of(route: Route) -> str:
    return route.path.format(id="none", name="none", jti="none")


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, object] = answer.json()
    assert said["status"] == status
    assert said["code"] == code
    assert said["title"]
    return said


@pytest.mark.parametrize("name", named(GUARDED))
async def test_without_a_token_or_its_scope_an_endpoint_is_closed(
    open_site: OpenSite, name: str
) -> None:
    route = named(GUARDED)[name]
    others = frozenset(Scope) - set(route.scopes)
    auth = Auth({"narrow": Claims(actor=Actor("token", "narrow"), scopes=others)})
    async with open_site(auth=auth) as site:
        bare = await site.http.request(route.method, path_of(route), headers={"Authorization": ""})
        problem(bare, 401, "unauthenticated")
        del site.http.headers["Authorization"]
        none = await site.http.request(route.method, path_of(route))
        problem(none, 401, "unauthenticated")
        assert none.headers["www-authenticate"] == 'Bearer realm="runwire"'
        wrong = await site.http.request(
            route.method, path_of(route), headers={"Authorization": "Bearer no"}
        )
        problem(wrong, 401, "unauthenticated")
        assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
        narrow = await site.http.request(
            route.method, path_of(route), headers={"Authorization": "Bearer narrow"}
        )
        assert problem(narrow, 403, "forbidden")["scope"] == route.scopes[0]


@pytest.mark.parametrize("name", named(OPEN))
async def test_an_open_endpoint_asks_nobody_who_they_are(site: Site, name: str) -> None:
    route = named(OPEN)[name]
    answer = await site.http.request(
        route.method, route.path, headers={"Authorization": "Bearer no"}
    )
    assert answer.status_code in route.answers


async def test_what_is_not_there_is_a_problem_too(site: Site) -> None:
    problem(await site.http.get("/nothing"), 404, "not_found")
    problem(await site.http.get("/runs/none/nothing"), 404, "not_found")
    problem(await site.http.get("/runs/"), 404, "not_found")
    wrong_method = await site.http.put("/runs", json={})
    problem(wrong_method, 405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_trailing_slash_never_creates_a_run(site: Site) -> None:
    problem(await site.http.post("/runs/", json={"job": "hello"}), 404, "not_found")
    assert (await site.http.get("/runs")).json()["runs"] == []


async def test_a_body_has_to_be_json_and_not_too_large(open_site: OpenSite) -> None:
    async with open_site(limits=WebLimits(max_body=1000)) as site:
        typed = {"Content-Type": "application/json"}
        form = await site.http.post("/runs", data={"job": "hello"})
        problem(form, 415, "unsupported_media_type")
        problem(await site.http.post("/runs", content=b"{", headers=typed), 400, "bad_request")
        problem(await site.http.post("/runs"), 400, "bad_request")
        said = problem(await site.http.post("/runs", json={"jbo": "x"}), 422, "bad_value")
        assert said["field"] == "jbo"
        large = await site.http.post("/runs", json={"shell": "x" * 1000})
        problem(large, 413, "body_too_large")

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b'{"shell": "' + b"x" * 1000

        chunked = await site.http.post("/runs", content=endless(), headers=typed)
        problem(chunked, 413, "body_too_large")
        assert (await site.http.get("/runs")).json()["runs"] == []


async def test_a_body_that_does_not_come_is_given_up(open_site: OpenSite) -> None:
    async with open_site(limits=WebLimits(idle_timeout_s=0.3)) as site:
        async with await trio.open_tcp_stream(*site.address) as client:
            await client.send_all(
                b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: 9\r\n\r\n{"
            )
            with trio.fail_after(PATIENCE_S):
                answer = b""
                async for data in client:
                    answer += data
        assert b" 408 " in answer
        assert b"request_timeout" in answer


async def test_every_answer_keeps_browsers_from_guessing_framing_and_storing(site: Site) -> None:
    for path in ("/healthz", "/nothing", "/runs", "/ui/"):
        headers = (await site.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        # A page holds nothing of anybody's; it only has to be the present one.
        assert headers["cache-control"] == ("no-cache" if path == "/ui/" else "no-store")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


async def test_a_page_of_another_name_cannot_reach_us(open_site: OpenSite) -> None:
    async with open_site(hosts=("Build.Example",)) as site:
        evil = await site.http.get("/healthz", headers={"Host": "evil.example:4000"})
        assert "evil.example" in str(problem(evil, 421, "wrong_host")["detail"])
        for host in ("build.example", "localhost:99", "127.0.0.1", "[::1]:4000"):
            answer = await site.http.get("/healthz", headers={"Host": host})
            assert answer.status_code == 200


async def test_the_unix_socket_needs_no_token_and_no_name(site: Site) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(site.socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://whatever") as local:
        answer = await local.post("/runs", json={"shell": "true"})
        assert answer.status_code == 201
        assert answer.json()["created_by"]["kind"] == "user"
        wrong = await local.get("/runs", headers={"Authorization": "Bearer wrong"})
        problem(wrong, 401, "unauthenticated")


async def test_everything_works_below_a_path_of_another_server(open_site: OpenSite) -> None:
    async with open_site(base_path="/deep/runwire") as site:
        created = await site.http.post("/runs", json={"shell": "echo hi"})
        assert created.headers["location"] == f"/deep/runwire/runs/{created.json()['id']}"
        await site.ended(created.json()["id"])
        root = f"http://127.0.0.1:{site.address[1]}"
        # A proxy that passes the path on, and one that takes its own part off.
        passed_on = await site.http.get(f"{root}{created.headers['location']}/log")
        taken_off = await site.http.get(f"{root}/runs/{created.json()['id']}/log")
        assert passed_on.text == taken_off.text == "hi\n"
        assert (await site.http.get("")).headers["location"] == "/deep/runwire/ui/"
        assert (await site.http.get(f"{root}/deep/runwirex/healthz")).status_code == 404
        document = (await site.http.get("/openapi.json")).json()
        assert document["servers"] == [{"url": "/deep/runwire"}]


async def test_a_bug_is_told_to_the_log_and_not_to_the_client(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_query: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(site.supervisor, "list_runs", broken)
    answer = await site.http.get("/runs")
    monkeypatch.undo()
    problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "a secret" in caplog.text
    assert (await site.http.get("/runs")).status_code == 200


async def test_no_path_however_odd_does_anything_but_404(site: Site) -> None:
    for path in (
        b"/runs//",
        b"/runs/%2e%2e/%2e%2e/etc/passwd",
        b"/runs/..%2fjobs",
        b"/runs/%00",
        b"/runs/" + b"x" * 65,
        b"/runs/-x",
        b"/runs/x%0a",
        b"/runs/%ff%fe",
        b"/runs/%D9%A3",
        b"/jobs/%0d%0aX:%20y",
        b"/runs/x%0a/log",
    ):
        async with await trio.open_tcp_stream(*site.address) as client:
            await client.send_all(
                b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
            )
            answer = b""
            with trio.fail_after(PATIENCE_S):
                async for data in client:
                    answer += data
        assert answer.startswith(b"HTTP/1.1 404 "), (path, answer)
        assert b"application/problem+json" in answer
