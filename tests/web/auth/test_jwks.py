"""Keys from a URL: a real server that is well, changes its keys, dies, hangs or talks rubbish."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.patience import PATIENCE_S
from tests.web.keyring import jwk, key_set
from tests.web.served import until
from web.auth.jwks import KeyUrl, Pace
from web.auth.keys import MAX_SET

QUICK = Pace(regular_s=3600, retry_s=3600, apart_s=0, patience_s=PATIENCE_S)
HASTY = Pace(regular_s=3600, retry_s=3600, apart_s=0, patience_s=0.2)
ONE = key_set(jwk("ES256", 1, kid="1"))
TWO = key_set(jwk("ES256", 1, kid="1"), jwk("RS256", 2, kid="2"))


class Provider:
    """An HTTP server on this machine that says what it is told to say."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/jwks"
        self.asked = 0
        self.answer(ONE)

    def answer(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        length = f"Content-Length: {len(body)}\r\n"
        self.raw = f"HTTP/1.1 {status}\r\n{length}{headers}\r\n".encode() + body

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                received = await stream.receive_some()
                if not received:
                    return
                request += received
            self.asked += 1
            if not self.raw:
                await trio.sleep_forever()
            try:
                await stream.send_all(self.raw)
                await stream.send_eof()
                await stream.receive_some()
            except trio.BrokenResourceError:
                pass  # it had enough


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        opened = Provider(listener)
        nursery.start_soon(trio.serve_listeners, opened.serve, [listener])
        yield opened
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def keys_at(url: str, pace: Pace = QUICK) -> AsyncIterator[KeyUrl]:
    """The keys at a URL, after the first fetch."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            keys = KeyUrl(url, pace)
            nursery.start_soon(keys.keep_fetching)
            await keys.wait_fetched()
            yield keys
            nursery.cancel_scope.cancel()


def kids(keys: KeyUrl) -> list[str | None]:
    return [key.kid for key in keys.keys]


async def test_keys_are_there_after_the_first_fetch() -> None:
    async with provider() as server, keys_at(server.url) as keys:
        assert kids(keys) == ["1"]
        assert server.asked == 1


async def test_a_wish_for_newer_keys_fetches_them() -> None:
    async with provider() as server, keys_at(server.url) as keys:
        server.answer(TWO)
        await keys.wait_fetched()
        assert kids(keys) == ["1", "2"]


async def test_a_key_that_was_taken_away_is_gone() -> None:
    async with provider() as server, keys_at(server.url) as keys:
        server.answer(key_set(jwk("RS256", 2, kid="2")))
        await keys.wait_fetched()
        assert kids(keys) == ["2"]


async def test_keys_are_fetched_again_and_again() -> None:
    pace = Pace(regular_s=0, retry_s=3600, apart_s=3600)
    async with provider() as server, keys_at(server.url, pace) as keys:
        server.answer(TWO)
        while kids(keys) != ["1", "2"]:
            await keys._fetched.wait()


async def test_wishes_do_not_become_a_flood() -> None:
    """However many tokens with unknown keys come, one fetch is all there is for a while."""
    pace = Pace(regular_s=3600, retry_s=3600, apart_s=3600)
    async with provider() as server, keys_at(server.url, pace) as keys:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(keys.wait_fetched)
        assert server.asked == 1


async def test_many_wishes_at_once_are_one_fetch() -> None:
    async with provider() as server, keys_at(server.url) as keys:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(keys.wait_fetched)
        assert server.asked == 2


async def test_a_dead_provider_does_not_stop_known_keys() -> None:
    async with provider() as server, trio.open_nursery() as nursery:
        keys = KeyUrl(server.url, QUICK)
        nursery.start_soon(keys.keep_fetching)
        await keys.wait_fetched()
        server.raw = b""
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE_S):
            nursery.start_soon(keys.keep_fetching)
            await trio.testing.wait_all_tasks_blocked()
            await keys.wait_fetched()
        assert kids(keys) == ["1"]
        nursery.cancel_scope.cancel()


async def test_a_provider_that_hangs_is_waited_for_so_long_only() -> None:
    async with provider() as server, keys_at(server.url) as keys:
        server.raw = b""
        keys._pace = HASTY
        await keys.wait_fetched()
        assert kids(keys) == ["1"]
        await until(lambda: server.asked == 2)


async def test_a_server_starts_although_the_provider_hangs() -> None:
    async with provider() as server:
        server.raw = b""
        async with keys_at(server.url, HASTY) as keys:
            assert keys.keys == ()
            server.answer(ONE)
            keys._pace = QUICK
            await keys.wait_fetched()
            assert kids(keys) == ["1"]


@pytest.mark.parametrize(
    "raw",
    [
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * (MAX_SET - 10),
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAX_SET + 70_000) + ONE,
        b"HTTP/1.1 200 OK\r\n\r\n" + key_set(),
        b"HTTP/1.1 200 OK\r\n\r\n" + key_set(jwk("HS256", kid="secret")),
        b"HTTP/1.1 200 OK\r\n\r\n" + key_set({"kty": "RSA", "n": "AA", "e": "AQAB"}),
        b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",
        b"HTTP/1.1 404 Not Found\r\n\r\n" + TWO,
        b"HTTP/1.1 500 Oops\r\n\r\n" + TWO,
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n" + TWO,
    ],
    ids=lambda raw: raw[:30] + raw[-10:],
)
async def test_rubbish_replaces_no_keys(raw: bytes) -> None:
    async with provider() as server, keys_at(server.url) as keys:
        server.raw = raw
        await keys.wait_fetched()
        assert server.asked == 2
        assert kids(keys) == ["1"]
        server.answer(TWO)
        await keys.wait_fetched()
        assert kids(keys) == ["1", "2"]


async def test_the_keys_that_can_be_used_are_used() -> None:
    async with provider() as server, keys_at(server.url) as keys:
        server.answer(key_set({"kty": "LAMP"}, jwk("HS256"), jwk("EdDSA", kid="3")))
        await keys.wait_fetched()
        assert kids(keys) == ["3"]


async def test_trouble_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="runwire.auth")
    async with provider() as server, keys_at(server.url) as keys:
        server.answer(b"", status="500 Oops")
        for _ in range(3):
            await keys.wait_fetched()
        server.answer(TWO)
        await keys.wait_fetched()
        url = server.url
    told = [record.getMessage() for record in caplog.records if record.name == "runwire.auth"]
    assert told == [
        f"keys from {url} cannot be had, and the 1 known ones stay: the answer is 500",
        f"keys from {url}: 2",
    ]


async def test_nobody_waits_for_ever_where_nothing_is_fetched() -> None:
    keys = KeyUrl("http://127.0.0.1:1/", Pace(patience_s=0.05))
    with trio.fail_after(PATIENCE_S):
        await keys.wait_fetched()
