"""How a WebSocket ends: with the run, with the client, with the server."""

from __future__ import annotations

import array
import fcntl
import logging
import termios
from typing import Any

import pytest
import trio
import trio.testing

from supervisor.model import Stream
from supervisor.units import KIB
from tests.patience import PATIENCE_S
from tests.web.scene import text
from tests.web.served import TOKEN, Site, until
from tests.web.streams.talking import ADMIN, issued, last_words, refused
from tests.web.watching import Watcher, over_unix, watch
from web.fence import fence
from web.streams import conversation
from web.streams import websockets as streams

OUT = Stream.STDOUT


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end the server gives everybody all the time that they need."""
    monkeypatch.setattr(conversation, "LAST_WORD_S", PATIENCE_S)
    monkeypatch.setattr(fence, "_SHUTDOWN_S", PATIENCE_S)


# --- the end --------------------------------------------------------------------------------------


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


# --- shutdown -------------------------------------------------------------------------------------


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
