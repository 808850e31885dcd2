"""Tokens of a follower: shown at each connect, and a newer one before one expires."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
from msgspec import structs
from trio.testing import MockClock
from trio_websocket import WebSocketConnection

from supervisor import messages
from supervisor.client.address import Address
from supervisor.client.follow import follow
from supervisor.errors import Unauthenticated
from tests.client.scripted import (
    ERR,
    OUT,
    Closes,
    StreamServer,
    collect,
    end,
    log_from,
    serving,
    shown,
    status,
)
from tests.client.test_tokentext import a_token


class Tokens:
    """Gives `t1`, `t2` and so on."""

    def __init__(self) -> None:
        self.given = 0

    async def __call__(self) -> str:
        await trio.lowlevel.checkpoint()
        self.given += 1
        return f"t{self.given}"


async def test_each_connection_shows_a_token_that_is_good_now(autojump_clock: object) -> None:
    server = StreamServer([Closes(1012)], [log_from(0)[2], Closes(4401)])
    async with serving(server) as address:
        assert shown(await collect(address, token=Tokens())) == (OUT, ERR)
    heads = [head[b"authorization"] for head in server.heads]
    assert heads == [b"Bearer t1", b"Bearer t2", b"Bearer t3"]


async def test_a_new_token_that_is_refused_at_once_is_final() -> None:
    tokens = Tokens()
    server = StreamServer([log_from(0)[2], Closes(4401)], [Closes(4401)])
    async with serving(server) as address:
        with pytest.raises(Unauthenticated):
            await collect(address, token=tokens)
    assert tokens.given == 2


async def test_a_token_source_that_fails_ends_it_with_its_own_error() -> None:
    async def fails() -> str:
        await trio.lowlevel.checkpoint()
        raise LookupError("no token today")

    with pytest.raises(LookupError, match="no token today"):
        await collect(Address(), token=fails)


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """Trio's clock jumps over every wait, and the wall clock goes as it does."""
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began + trio.current_time())
    return MockClock(autojump_threshold=0)


async def good_for(seconds: int) -> str:
    await trio.lowlevel.checkpoint()
    return a_token(exp=int(time.time()) + seconds)


class Quiet(StreamServer):
    """Says that it lives, and ends the run when it is told of a token."""

    async def listen(self, ws: WebSocketConnection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping, ws)
            self.heard.append(msgspec.json.decode(await ws.get_message()))
            nursery.cancel_scope.cancel()
        await ws.send_message(end())
        await super().listen(ws)

    async def _ping(self, ws: WebSocketConnection) -> None:
        while True:
            await trio.sleep(20)
            await ws.send_message(messages.PING.decode())


async def test_a_newer_token_is_shown_a_minute_before_the_old_one_expires(
    virtual_time: MockClock,
) -> None:
    server = Quiet([status(1)])
    async with serving(server) as address:
        await collect(address, token=partial(good_for, 3600))
        assert 3530 <= trio.current_time() <= 3545
    assert [message["type"] for message in server.heard] == ["auth"]
    assert len(server.asked) == 1


async def test_one_that_is_good_for_a_short_time_is_renewed_in_its_last_fifth(
    virtual_time: MockClock,
) -> None:
    server = Quiet([status(1)])
    async with serving(server) as address:
        await collect(address, token=partial(good_for, 100))
        assert 78 <= trio.current_time() <= 82


async def test_while_there_is_no_newer_token_the_source_is_asked_again(
    virtual_time: MockClock, tmp_path: Path
) -> None:
    """A file that is being written, or not yet, is no reason to give up."""
    file = tmp_path / "token"
    file.write_text(await good_for(3600))
    newer = await good_for(7200)

    async def write() -> None:
        await trio.sleep(3545)
        file.write_text("")
        await trio.sleep(20)
        file.write_text(newer)

    server = Quiet([status(1)])
    async with serving(server) as address, trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await collect(structs.replace(address, token_file=str(file)))
        assert 3565 <= trio.current_time() <= 3571
    assert server.heard == [{"type": "auth", "token": newer}]


async def test_a_source_that_fails_later_ends_it_with_its_own_error(
    virtual_time: MockClock,
) -> None:
    """Whoever asks again is told again: it never looks like the end."""
    tokens = [await good_for(30)]

    async def fails_later() -> str:
        await trio.lowlevel.checkpoint()
        if tokens:
            return tokens.pop()
        raise LookupError("no other token")

    server = StreamServer([status(1)])
    async with serving(server) as address, follow(address, "r1", token=fails_later) as updates:
        await anext(updates)
        for _ in range(2):
            with pytest.raises(LookupError, match="no other token"):
                await anext(updates)
