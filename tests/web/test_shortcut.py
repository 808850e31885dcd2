"""`POST /runs` is answered past Quart where that is possible, and nobody can tell."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import pytest
import trio

from tests.web.probes import read_all, read_until
from tests.web.served import TOKEN, OpenSite, Site

LONG_WAY = {"Content-Type": "application/json; charset=utf-8"}
"""As good as the plain type, and not what the shortcut takes."""
OF_EACH_ANSWER = {"date", "content-length", "location"}


@pytest.fixture
async def site(open_site: OpenSite) -> AsyncIterator[Site]:
    async with open_site(max_running=1) as opened:
        yield opened


async def both_ways(site: Site, body: object, **headers: str) -> tuple[httpx.Response, ...]:
    """The answers to a request that the shortcut can take, and to one that it cannot."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    plain = {"Content-Type": "application/json"} | headers
    return (
        await site.http.post("/runs", content=content, headers=plain),
        await site.http.post("/runs", content=content, headers=plain | LONG_WAY),
    )


def head_of(answer: httpx.Response) -> tuple[int, dict[str, str]]:
    headers = {k: v for k, v in answer.headers.items() if k not in OF_EACH_ANSWER}
    return answer.status_code, headers


async def count(site: Site) -> int:
    answer = await site.http.get("/runs?limit=1000")
    return len(answer.json()["runs"])


@pytest.mark.parametrize("base_path", ["", "/jobs/runwire"])
async def test_both_ways_give_the_same_answer(open_site: OpenSite, base_path: str) -> None:
    async with open_site(base_path=base_path) as site:
        for answer in await both_ways(site, {"command": ["echo", "hi"], "tags": ["x"]}):
            assert answer.status_code == HTTPStatus.CREATED
            run = answer.json()
            assert answer.headers["location"] == f"{base_path}/runs/{run['id']}"
            assert (run["status"], run["log"]) == ("queued", {"size": 0, "oldest": 0})
            assert (await site.ended(run["id"]))["exit_code"] == 0
        one, other = await both_ways(site, {"job": "hello"})
        assert head_of(one) == head_of(other)
        left_out = {"id", "created_at"}
        assert {k: v for k, v in one.json().items() if k not in left_out} == {
            k: v for k, v in other.json().items() if k not in left_out
        }


async def test_the_same_request_again_gives_the_same_run(site: Site) -> None:
    request = {"id": "mine", "command": ["true"]}
    first, again = await both_ways(site, request)
    once_more, _ = await both_ways(site, request)
    assert [it.status_code for it in (first, again, once_more)] == [201, 200, 200]
    assert await count(site) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"", {}, 400),
        ({}, {}, 400),
        ({"command": []}, {}, 422),
        ({"comand": ["x"]}, {}, 422),
        ({"job": "none"}, {}, 404),
        ({"command": ["true"]}, {"Authorization": "Bearer wrong"}, 401),
        ({"command": ["true"]}, {"Authorization": "Basic x"}, 401),
        ({"command": ["true"]}, {"Host": "elsewhere.example"}, 421),
    ],
)
async def test_what_is_refused_is_told_why(
    site: Site, body: object, headers: dict[str, str], status: int
) -> None:
    one, other = await both_ways(site, body, **headers)
    assert one.status_code == status
    assert head_of(one) == head_of(other)
    assert one.json() == other.json()
    assert await count(site) == 0


async def test_a_body_that_is_too_large_is_refused(open_site: OpenSite) -> None:
    async with open_site() as site:
        limit = 1024 * 1024
        answer, _ = await both_ways(site, b'{"command": ["true", "%s"]}' % (b"x" * limit * 4))
        assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


async def test_a_body_in_chunks_is_taken(site: Site) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"command": '
        yield b'["true"]}'

    headers = {"Content-Type": "application/json"}
    answer = await site.http.post("/runs", content=chunks(), headers=headers)
    assert answer.status_code == HTTPStatus.CREATED


async def test_pages_of_other_sites_are_told_as_ever(open_site: OpenSite) -> None:
    ours = "https://dash.example"
    async with open_site(cors_origins=(ours,)) as site:
        for origin in ({}, {"Origin": ours}, {"Origin": "https://other.example"}):
            one, other = await both_ways(site, {"command": ["true"]}, **origin)
            assert head_of(one) == head_of(other)
            assert one.headers["vary"] == "Origin"


async def test_a_request_that_breaks_off_runs_nothing(site: Site) -> None:
    """Even if what has come of it would be a whole one."""
    async with await trio.open_tcp_stream(*site.address) as client:
        await client.send_all(
            b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: 99\r\n\r\n"
            b'{"command": ["true"]}'
        )
        await client.send_eof()
        assert await read_all(client) == b""
    await site.http.get("/healthz")
    assert await count(site) == 0


async def test_a_header_that_is_given_twice_is_left_to_others(site: Site) -> None:
    async with await trio.open_tcp_stream(*site.address) as client:
        await client.send_all(
            b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer wrong\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
            b'Content-Length: 21\r\n\r\n{"command": ["true"]}'
        )
        assert (await read_until(client, b"\r\n")).startswith(b"HTTP/1.1 401")
    assert await count(site) == 0


async def test_the_unix_socket_needs_neither_token_nor_name(site: Site) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(site.socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://anything") as http:
        answer = await http.post("/runs", json={"command": ["true"]})
    assert answer.status_code == HTTPStatus.CREATED
    assert answer.json()["created_by"]["kind"] == "user"
