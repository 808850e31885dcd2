"""A WebSocket from its handshake to its close: who may come in, what they may say, how it ends."""

from __future__ import annotations

import array
import fcntl
import json
import logging
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionRejected

from supervisor.access.claims import full_claims
from supervisor.model import SYSTEM, Stream
from supervisor.units import KIB
from supervisor.wire import NewToken, TokenRequest
from tests.patience import PATIENCE_S
from tests.web.scene import text
from tests.web.served import TOKEN, OpenSite, Site, until
from tests.web.watching import Watcher, faucet, over_unix, status_of, watch
from web.fence import fence
from web.streams import conversation
from web.streams import websockets as streams

OUT = Stream.STDOUT
ADMIN = full_claims(SYSTEM)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end the server gives everybody all the time that they need."""
    monkeypatch.setattr(conversation, "LAST_WORD_S", PATIENCE_S)
    monkeypatch.setattr(fence, "_SHUTDOWN_S", PATIENCE_S)


@pytest.fixture
async def done(site: Site) -> str:
    """A run that has ended, with 6 bytes of output."""
    run_id = await site.shell("printf 'hello\\n'")
    await site.ended(run_id)
    return run_id


@pytest.fixture
async def sleeper(site: Site) -> str:
    """A run that goes on."""
    run_id = await site.shell("echo ready; sleep 60")
    await site.running(run_id, written=6)
    return run_id


async def refused(site: Site, path: str, **how: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    """The plain HTTP answer to a handshake."""
    with pytest.RaisesGroup(
        ConnectionRejected, flatten_subgroups=True, allow_unwrapped=True
    ) as caught:
        async with watch(site, path, **how):
            raise AssertionError("it was let in")
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConnectionRejected)
    headers = {name.decode().lower(): value.decode() for name, value in error.headers}
    return error.status_code, json.loads(error.body or b"{}"), headers


async def issued(site: Site, scope: str = "runs:read", **more: Any) -> NewToken:
    return await site.tokens.issue(TokenRequest(scope=scope, **more), ADMIN)


def last_words(watcher: Watcher) -> dict[str, Any]:
    return watcher.said[-1]


# --- the handshake -------------------------------------------------------------------------------


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


# --- hello ---------------------------------------------------------------------------------------


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


# --- what is said later --------------------------------------------------------------------------


NONSENSE: Sequence[dict[str, Any] | str | bytes] = (
    "garbage",
    b"binary",
    b"",
    {"type": "hello", "token": TOKEN},
    {"type": "ack", "offset": 1.5},
    {"type": "seek", "from": 7},
    {"type": "nosuch"},
    '{"type":"ack","offset":' + "9" * 60_000 + "}",
)


async def test_what_makes_no_sense_ends_it(
    site: Site, sleeper: str, subtests: pytest.Subtests
) -> None:
    for said in NONSENSE:
        with subtests.test(said=str(said)[:50]):
            async with watch(site, f"/runs/{sleeper}/stream") as watcher:
                await watcher.hear_bytes(6)
                await watcher.say(said)
                code, _ = await watcher.closed()
                assert code == 4400
                assert last_words(watcher)["type"] == "error"
    assert await status_of(site, sleeper) == "running"


async def test_what_makes_sense_does_not_however_odd(site: Site, sleeper: str) -> None:
    async with watch(site, f"/runs/{sleeper}/stream?window=10") as watcher:
        await watcher.hear_bytes(6)
        for offset in (-1, 0, 5, 6, 7, 10**30, -(10**30)):
            await watcher.say({"type": "ack", "offset": offset})
        await watcher.say({"type": "pong"})
        await watcher.say({"type": "seek", "from": -(10**30)})
        assert (await watcher.hear_until("seek"))[-1] == {"type": "seek", "from": 0}


async def test_a_message_too_long_ends_it(site: Site, sleeper: str) -> None:
    async with watch(site, f"/runs/{sleeper}/stream") as watcher:
        await watcher.hear_bytes(6)
        await watcher.say("x" * (64 * 1024 + 1))
        code, _ = await watcher.closed()
        assert code == 1009


async def test_pings_are_answered_whatever_else_is_said(site: Site, sleeper: str) -> None:
    async with watch(site, f"/runs/{sleeper}/stream") as watcher:
        await watcher.hear_bytes(6)
        for number in range(100):
            await watcher.say({"type": "ack", "offset": number})
        with trio.fail_after(PATIENCE_S):
            await watcher.websocket.ping(b"PROBE")


async def test_a_silent_conversation_is_kept_alive(
    site: Site, sleeper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "HEARTBEAT_S", 0.02)
    for path in (f"/runs/{sleeper}/stream", "/events"):
        async with watch(site, path) as watcher:
            await watcher.hear_until("ping")


async def test_so_is_one_where_all_that_happens_is_left_out(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that nothing passes must not look like a dead connection."""
    monkeypatch.setattr(conversation, "HEARTBEAT_S", 0.02)
    async with (
        faucet(site, tmp_path) as tap,
        watch(site, f"{tap.path}?streams=stdout") as watcher,
        trio.open_nursery() as nursery,
    ):

        async def flood() -> None:
            while True:
                await tap.write(Stream.STDERR, b"x")

        nursery.start_soon(flood)
        await watcher.hear_until("ping")
        nursery.cancel_scope.cancel()


# --- subprotocols --------------------------------------------------------------------------------


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


# --- tokens that end -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/runs/{}/stream", "/events"])
async def test_a_revoked_token_ends_what_it_began(site: Site, sleeper: str, path: str) -> None:
    token = await issued(site)
    async with watch(site, path.format(sleeper), token=token.token) as watcher:
        await watcher.hear()
        await site.tokens.revoke(token.jti, ADMIN)
        assert await watcher.closed() == (4401, "unauthenticated")


async def test_unless_it_was_renewed_before(site: Site, sleeper: str) -> None:
    first, second = await issued(site), await issued(site)
    async with watch(site, f"/runs/{sleeper}/stream", token=first.token) as watcher:
        await watcher.hear_bytes(6)
        await watcher.say({"type": "auth", "token": second.token})
        await watcher.say({"type": "seek", "from": 3})
        await watcher.hear_until("seek")  # what was said before it was heard before it
        await site.tokens.revoke(first.jti, ADMIN)
        await watcher.say({"type": "seek", "from": 6})
        while watcher.said[-1] != {"type": "seek", "from": 6}:
            await watcher.hear()
        await site.tokens.revoke(second.jti, ADMIN)
        assert await watcher.closed() == (4401, "unauthenticated")


@pytest.mark.parametrize(
    ("more", "code"),
    [({"runs": ("other",)}, 4404), ({"scope": "runs:submit"}, 4403), (None, 4401)],
)
async def test_a_renewal_that_does_not_allow_it_ends_it(
    site: Site, sleeper: str, more: dict[str, Any] | None, code: int
) -> None:
    token = "wrong"
    if more is not None:
        token = (await issued(site, **more)).token
    async with watch(site, f"/runs/{sleeper}/stream") as watcher:
        await watcher.say({"type": "auth", "token": token})
        assert (await watcher.closed())[0] == code


# --- the end -------------------------------------------------------------------------------------


async def test_after_the_end_the_client_closes(
    site: Site, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "END_WAIT_S", 2 * PATIENCE_S)
    async with watch(site, f"/runs/{done}/stream") as watcher:
        await watcher.hear_until("end")
        await watcher.say({"type": "ack", "offset": 6})  # still heard
        with trio.fail_after(PATIENCE_S):
            await watcher.websocket.aclose()
        assert watcher.websocket.closed is not None
        assert watcher.websocket.closed.code == 1000


async def test_or_else_the_server_does(
    site: Site, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "END_WAIT_S", 0.05)
    async with watch(site, f"/runs/{done}/stream") as watcher:
        assert await watcher.closed() == (1000, "")
        assert last_words(watcher)["type"] == "end"


async def test_once_all_is_said_nothing_can_go_wrong_any_more(site: Site, done: str) -> None:
    token = await issued(site)
    async with watch(site, f"/runs/{done}/stream", token=token.token) as watcher:
        await watcher.hear_until("end")
        await site.tokens.revoke(token.jti, ADMIN)
        assert await watcher.closed() == (1000, "")
        assert last_words(watcher)["type"] == "end"


async def test_a_client_that_vanishes_is_let_go(
    site: Site, sleeper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 0
    real = conversation.Conversation.hold

    async def hold(self: conversation.Conversation, talk: Any) -> None:
        nonlocal left
        try:
            await real(self, talk)
        finally:
            left += 1

    monkeypatch.setattr(conversation.Conversation, "hold", hold)
    for path in (f"/runs/{sleeper}/stream", "/events"):
        async with watch(site, path) as watcher:
            await watcher.hear()
            await watcher.cut()
    async with watch(site, "/events", token=None) as watcher:
        await watcher.cut()
    await until(lambda: left == 3)


async def test_a_bug_closes_with_1011_and_is_logged_once_without_the_query(
    site: Site, sleeper: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(streams, "stream_run", broken)
    async with watch(site, f"/runs/{sleeper}/stream?token={TOKEN}", token=None) as watcher:
        assert await watcher.closed() == (1011, "")
        assert watcher.said == []
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == [f"/runs/{sleeper}/stream failed"]
    assert TOKEN not in caplog.text


async def test_no_token_is_in_any_line_of_any_log(
    site: Site, done: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = (await issued(site)).token
    async with watch(site, f"/runs/{done}/stream?token={secret}", token=None) as watcher:
        await watcher.hear_until("end")
    async with watch(site, f"/runs?runId={done}&token={secret}&from=99", token=None) as watcher:
        await watcher.closed()
    await refused(site, f"/runs/{done}/stream?token={secret}x", token=None)
    await refused(site, f"/runs/{done}/stream?token={secret}&from={secret}", token=None)
    await refused(site, f"/nothing?token={secret}", token=None)
    async with watch(site, f"/runs/{done}/stream", token=None) as watcher:
        await watcher.say({"type": "hello", "token": secret, "tokn": secret})
        await watcher.closed()
    lines = [r.getMessage() for r in caplog.records if r.name == "runwire.access"]
    assert any(f" WEBSOCKET /runs/{done}/stream 101 " in line for line in lines), lines
    assert any(f" WEBSOCKET /runs/{done}/stream 401 " in line for line in lines)
    assert secret not in caplog.text


# --- shutdown ------------------------------------------------------------------------------------


async def test_at_shutdown_everybody_is_told(
    site: Site, sleeper: str, done: str, unhurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that wait, those that never said hello, the feed, and those that have everything."""
    monkeypatch.setattr(conversation, "HELLO_WAIT_S", 2 * PATIENCE_S)
    monkeypatch.setattr(conversation, "END_WAIT_S", 2 * PATIENCE_S)
    codes: list[int] = []
    ready = 0

    async def one(path: str, token: str | None) -> None:
        nonlocal ready
        async with watch(site, path, token=token) as watcher:
            if path.startswith(f"/runs/{done}"):
                await watcher.hear_until("end")
            elif token is not None:
                await watcher.hear()
            ready += 1
            codes.append((await watcher.closed())[0])

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one, f"/runs/{sleeper}/stream", TOKEN)
                nursery.start_soon(one, f"/runs/{sleeper}/stream", None)
                nursery.start_soon(one, "/events", TOKEN)
                nursery.start_soon(one, f"/runs/{done}/stream", TOKEN)
            await until(lambda: ready == 20)
            site.shutdown.begin()
    # After `end` there is nothing to come back for.
    assert sorted(codes) == [1000] * 5 + [1001] * 15


async def test_at_shutdown_who_watches_is_told_how_the_runs_ended(
    site: Site, sleeper: str, unhurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "CATCH_UP_S", PATIENCE_S)
    monkeypatch.setattr(conversation, "END_WAIT_S", 0.1)
    async with (
        watch(site, f"/runs/{sleeper}/stream") as watcher,
        watch(site, "/events") as feed,
    ):
        await watcher.hear_bytes(6)
        await feed.hear()
        # As the server does it: nobody has had the time to tell anything in between.
        await site.supervisor.stop_all()
        site.shutdown.begin()
        assert await watcher.closed() == (1000, "")
        assert await feed.closed() == (1001, "shutting_down")
    assert last_words(watcher)["run"]["status"] == "cancelled"
    *_, event, error = feed.said
    assert (event["event"], error["code"]) == ("cancelled", "shutting_down")


async def test_at_shutdown_a_message_under_way_comes_whole_before_the_farewell(
    site: Site, unhurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "CATCH_UP_S", 0)
    run_id = await site.shell("head -c 4000000 /dev/zero")
    await site.ended(run_id)
    async with watch(site, f"/runs/{run_id}/stream", dial=over_unix) as watcher:
        # Only a message of output is as long as that, and its rest does not fit in yet.
        await until(lambda: unread_bytes(watcher) > 64 * KIB)
        site.shutdown.begin()
        await trio.testing.wait_all_tasks_blocked()
        assert await watcher.closed() == (1001, "shutting_down")
    *heard, error = watcher.said
    assert error["code"] == "shutting_down"
    assert 0 < heard[-1]["next"] < 4_000_000
    assert text(heard, OUT) == "\0" * heard[-1]["next"]


def unread_bytes(watcher: Watcher) -> int:
    """How much has come and was not read (FIONREAD, ioctl_tty(2))."""
    count = array.array("i", [0])
    fcntl.ioctl(watcher.stream.socket.fileno(), termios.FIONREAD, count)
    return count[0]
