"""`[web] cors_origins`: pages of exactly these sites may read answers, and of no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import pytest

from tests.web.served import OpenSite, Site
from web.api.endpoints import ROUTES
from web.cors import _METHODS, _READABLE

OURS = "https://dash.example"
OTHERS = [
    "http://dash.example",
    "https://dash.example:444",
    "https://dash.example.evil.example",
    "https://evil-dash.example",
    "https://dash.exampl",
    "https://sub.dash.example",
    "https://dash.example/",
    "null",
    "*",
    "",
]


@pytest.fixture
async def site(open_site: OpenSite) -> AsyncIterator[Site]:
    async with open_site(cors_origins=(OURS, "http://localhost:3000")) as opened:
        yield opened


async def ask_first(site: Site, origin: str, path: str = "/runs", **more: str) -> httpx.Response:
    """A browser's preflight: without a token, as browsers do."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", **more}
    request = site.http.build_request("OPTIONS", path, headers=headers)
    del request.headers["Authorization"]
    return await site.http.send(request)


def cors_headers(answer: httpx.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/runs", "/runs/1/cancel", "/tickets", "/nothing"])
async def test_a_browser_that_asks_first_is_told_what_it_may_do(site: Site, path: str) -> None:
    wish = {"Access-Control-Request-Headers": "authorization,content-type,x-mine"}
    answer = await ask_first(site, OURS, path, **wish)
    assert (answer.status_code, answer.content) == (HTTPStatus.NO_CONTENT, b"")
    assert answer.headers["access-control-allow-origin"] == OURS
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-mine"
    assert set(answer.headers["access-control-allow-methods"].split(", ")) == {
        "HEAD",
        *(route.method for route in ROUTES),
    }
    assert int(answer.headers["access-control-max-age"]) <= 3600
    vary = answer.headers["vary"].split(", ")
    assert sorted(vary) == ["Access-Control-Request-Headers", "Origin"]


@pytest.mark.parametrize("origin", OTHERS)
async def test_a_browser_on_another_site_is_told_nothing(site: Site, origin: str) -> None:
    for answer in (
        await ask_first(site, origin),
        await site.http.get("/runs", headers={"Origin": origin}),
    ):
        assert cors_headers(answer) == []
        # A cache must not show it to a page of a site that may read it.
        assert answer.headers["vary"] == "Origin"


async def test_an_answer_may_be_read_by_pages_of_the_site_that_asked(site: Site) -> None:
    run_id = await site.shell("echo x")
    for origin in (OURS, "http://localhost:3000"):
        for path, status in (("/runs", 200), (f"/runs/{run_id}/log", 200), ("/runs/x/log", 404)):
            answer = await site.http.get(path, headers={"Origin": origin})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert "Origin" in answer.headers["vary"].split(", ")


async def test_no_answer_is_for_all_sites_with_credentials(site: Site) -> None:
    answer = await site.http.get("/ui/runs.js", headers={"Origin": OURS})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_may_read_all_headers_that_say_something(site: Site) -> None:
    run_id = await site.shell("seq 100")
    await site.ended(run_id)
    readable = {name.lower() for name in _READABLE}
    usual = {"cache-control", "content-length", "content-type", "date", "vary", "server"}
    about_browsers = {
        "content-security-policy",
        "cross-origin-resource-policy",
        "referrer-policy",
        "x-accel-buffering",
        "x-content-type-options",
        "x-frame-options",
    }
    said: set[str] = set()
    for answer in (
        await site.http.get(f"/runs/{run_id}/log", headers={"Range": "bytes=0-9"}),
        await site.http.get(f"/runs/{run_id}/log?download=1"),
        await site.http.get(f"/runs/{run_id}/log", headers={"Authorization": "Bearer x"}),
        await site.http.post("/runs", json={"shell": "true"}),
    ):
        said |= set(answer.headers)
    assert said - usual - about_browsers <= readable
    assert {"location", "www-authenticate", "content-range", "runwire-log-size"} <= said


async def test_a_site_that_is_named_still_needs_a_token(site: Site) -> None:
    request = site.http.build_request("GET", "/runs", headers={"Origin": OURS})
    del request.headers["Authorization"]
    assert (await site.http.send(request)).status_code == HTTPStatus.UNAUTHORIZED


async def test_a_question_for_another_host_is_not_answered(site: Site) -> None:
    answer = await ask_first(site, OURS, Host="evil.example")
    assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST


async def test_what_is_no_question_of_a_browser_is_an_ordinary_request(site: Site) -> None:
    plain = site.http.build_request("OPTIONS", "/runs", headers={"Origin": OURS})
    answer = await site.http.send(plain)
    assert "access-control-allow-methods" not in answer.headers
    assert _METHODS not in answer.headers.get("allow", "")


async def test_without_sites_nothing_is_said_about_them(open_site: OpenSite) -> None:
    async with open_site() as site:
        for answer in (
            await ask_first(site, OURS),
            await site.http.get("/runs", headers={"Origin": OURS}),
        ):
            assert cors_headers(answer) == []
            assert "vary" not in answer.headers
