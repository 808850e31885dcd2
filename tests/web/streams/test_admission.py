"""Who may come in by a WebSocket: the handshake, the first message, what is spoken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from supervisor.model import Stream
from tests.patience import PATIENCE_S
from tests.web.scene import text
from tests.web.served import TOKEN, OpenSite, Site
from tests.web.streams.talking import issued, last_words, refused
from tests.web.watching import over_unix, watch
from web.streams import conversation

OUT = Stream.STDOUT


# --- the handshake --------------------------------------------------------------------------------


async def test_a_token_in_the_header_is_enough(site: Site, done: str) -> None:
    async with watch(site, f"/runs/{done}/stream") as watcher:
        assert text(await watcher.hear_until("end"), OUT) == "hello\n"


async def test_so_is_one_in_the_address_and_run_id_is_the_same_by_another_name(
    site: Site, done: str
) -> None:
    async with watch(site, f"/runs?runId={done}&token={TOKEN}", token=None) as watcher:
        assert text(await watcher.hear_until("end"), OUT) == "hello\n"


async def test_on_the_unix_socket_none_is_needed(site: Site, done: str) -> None:
    async with watch(site, f"/runs/{done}/stream", token=None, dial=over_unix) as watcher:
        assert text(await watcher.hear_until("end"), OUT) == "hello\n"


REFUSED: Sequence[tuple[str, dict[str, Any], int, str]] = (
    ("/runs/{}/stream", {"token": "wrong"}, 401, "unauthenticated"),
    ("/runs/{}/stream?token=wrong", {"token": None}, 401, "unauthenticated"),
    (
        "/runs/{}/stream",
        {"headers": [("Authorization", "Basic eA==")], "token": None},
        401,
        "unauthenticated",
    ),
    ("/runs/{}/stream?from=x", {}, 422, "bad_value"),
    ("/runs/{}/stream?from=1.5", {}, 422, "bad_value"),
    ("/runs/{}/stream?from=nan", {}, 422, "bad_value"),
    ("/runs/{}/stream?from=" + "9" * 5000, {}, 422, "bad_value"),
    ("/runs/{}/stream?from=1&from=2", {}, 422, "bad_value"),
    ("/runs/{}/stream?window=0", {}, 422, "bad_value"),
    ("/runs/{}/stream?window=-1", {}, 422, "bad_value"),
    ("/runs/{}/stream?streams=stdin", {}, 422, "bad_value"),
    ("/runs/{}/stream?form=1", {}, 422, "bad_value"),
    ("/runs/nosuch/stream", {}, 404, "no_such_run"),
    ("/runs/" + "a" * 10_000 + "/stream", {}, 404, "no_such_run"),
    ("/runs/%2e%2e/stream", {}, 404, "no_such_run"),
    ("/runs/a%00b/stream", {}, 404, "no_such_run"),
    ("/runs?runId=no/such", {}, 404, "no_such_run"),
    ("/runs", {}, 404, "no_such_run"),
    ("/events?since=x", {}, 422, "bad_value"),
    ("/nothing", {}, 404, "not_found"),
    ("/jobs", {}, 400, "bad_request"),
    ("/runs/{}/stream", {"headers": [("Origin", "http://evil.example")]}, 403, "wrong_origin"),
    ("/runs/{}/stream", {"headers": [("Origin", "null")]}, 403, "wrong_origin"),
    ("/events", {"headers": [("Origin", "http://evil.example")]}, 403, "wrong_origin"),
)


async def test_what_cannot_be_is_refused_with_a_plain_problem(
    site: Site, done: str, subtests: pytest.Subtests
) -> None:
    for path, how, status, code in REFUSED:
        with subtests.test(path=path[:50]):
            got, problem, headers = await refused(site, path.format(done), **how)
            assert (got, problem.get("code")) == (status, code)
            assert headers["content-type"] == "application/problem+json"
            assert ("www-authenticate" in headers) is (status == 401)


async def test_a_name_that_is_not_ours_is_refused(open_site: OpenSite) -> None:
    """A page elsewhere cannot reach this server by having its own name point here."""
    async with open_site() as site, await trio.open_tcp_stream(*site.address) as stream:
        await stream.send_all(
            b"GET /events HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        )
        with trio.fail_after(PATIENCE_S):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 421")


async def test_our_own_pages_may_connect(site: Site, done: str) -> None:
    origin = ("Origin", f"http://{site.address[0]}:{site.address[1]}")
    async with watch(site, f"/runs/{done}/stream", headers=[origin]) as watcher:
        await watcher.hear_until("end")


async def test_a_scope_that_is_missing_is_named(site: Site, done: str) -> None:
    token = (await issued(site, scope="runs:submit")).token
    status, problem, _ = await refused(site, f"/runs/{done}/stream", token=token)
    assert (status, problem["code"], problem["scope"]) == (403, "forbidden", "runs:read")


async def test_a_run_out_of_reach_looks_like_none(site: Site, done: str) -> None:
    token = (await issued(site, runs=("other-*",))).token
    for run_id in (done, "nosuch"):
        status, problem, _ = await refused(site, f"/runs/{run_id}/stream", token=token)
        assert (status, problem["code"]) == (404, "no_such_run")
        async with watch(site, f"/runs/{run_id}/stream", token=None) as watcher:
            await watcher.say({"type": "hello", "token": token})
            assert await watcher.closed() == (4404, "no_such_run")


# --- hello ----------------------------------------------------------------------------------------


async def test_who_has_no_token_at_the_handshake_says_hello_with_one(site: Site, done: str) -> None:
    async with watch(site, f"/runs/{done}/stream", token=None) as watcher:
        await watcher.say({"type": "hello", "token": TOKEN, "from": 2, "streams": ["stdout"]})
        assert text(await watcher.hear_until("end"), OUT) == "llo\n"


WRONG_FIRST: Sequence[tuple[dict[str, Any] | str | bytes, int, str]] = (
    ({"type": "hello"}, 4401, "unauthenticated"),
    ({"type": "hello", "token": None}, 4401, "unauthenticated"),
    ({"type": "hello", "token": "wrong"}, 4401, "unauthenticated"),
    ({"type": "hello", "token": "\ud800"}, 4400, "bad_request"),
    ({"type": "hello", "token": 5}, 4400, "bad_request"),
    ({"type": "hello", "token": TOKEN, "tokn": "x"}, 4400, "bad_request"),
    ({"type": "ack", "offset": 1}, 4400, "bad_request"),
    ({"type": "auth", "token": TOKEN}, 4400, "bad_request"),
    ("", 4400, "bad_request"),
    (b"", 4400, "bad_request"),
    (b'{"type":"hello"}', 4400, "bad_request"),
    ('{"a":' + "[" * 30_000, 4400, "bad_request"),
)
WRONG_WISH: Sequence[tuple[dict[str, Any], str]] = (
    ({"window": 0}, "bad_value"),
    ({"window": -(10**30)}, "bad_value"),
    ({"streams": ["stdin"]}, "bad_value"),
    ({"from": 7}, "range_not_satisfiable"),
    ({"from": 10**30}, "range_not_satisfiable"),
)


async def test_a_wrong_first_message_ends_it_and_says_why(
    site: Site, done: str, subtests: pytest.Subtests
) -> None:
    stream = f"/runs/{done}/stream"
    said = [(path, *wrong) for path in (stream, "/events") for wrong in WRONG_FIRST]
    said += [
        (stream, {"type": "hello", "token": TOKEN, **wish}, 4400, reason)
        for wish, reason in WRONG_WISH
    ]
    for path, hello, code, reason in said:
        with subtests.test(path=path, hello=str(hello)[:50]):
            async with watch(site, path, token=None) as watcher:
                await watcher.say(hello)
                assert await watcher.closed() == (code, reason)
                assert last_words(watcher)["type"] == "error"
                assert last_words(watcher)["code"] == reason
                assert TOKEN not in last_words(watcher)["message"]


async def test_who_says_nothing_is_not_waited_for(
    site: Site, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "HELLO_WAIT_S", 0.05)
    async with watch(site, f"/runs/{done}/stream", token=None) as watcher:
        assert await watcher.closed() == (4408, "hello_timeout")


# --- subprotocols ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "chosen"),
    [
        ((), None),
        (("runwire.json",), "runwire.json"),
        (("runwire.binary",), "runwire.binary"),
        (("other", "runwire.binary", "runwire.json"), "runwire.binary"),
    ],
)
async def test_the_first_subprotocol_that_is_ours_is_chosen(
    site: Site, done: str, offer: tuple[str, ...], chosen: str | None
) -> None:
    async with watch(site, f"/runs/{done}/stream", offer=offer) as watcher:
        assert watcher.websocket.subprotocol == chosen
        await watcher.hear_until("end")
        data = [m["data"] for m in watcher.said if m["type"] == "stdout"]
        assert data == ([b"hello\n"] if chosen == "runwire.binary" else ["hello\n"])


async def test_offering_only_others_ends_it(site: Site, done: str) -> None:
    async with watch(site, f"/runs/{done}/stream", offer=("graphql-ws",)) as watcher:
        assert (await watcher.closed())[0] == 4409
