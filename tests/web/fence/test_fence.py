"""The fence: no client can end the server, hold it, or harm another client."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import trio
import trio.testing
from quart import Response, request, websocket
from quart_trio import QuartTrio
from trio.testing import MockClock

from supervisor.config.bind import Bind
from supervisor.config.settings import WebLimits
from tests.patience import PATIENCE_S
from tests.web.probes import (
    BAD_FRAMES,
    REFUSED,
    close_code,
    frame,
    handshake,
    read_all,
    read_until,
)
from tests.web.served import until
from web.fence import connection, fence
from web.fence.fence import serve_web
from web.fence.listen import open_tcp, open_unix

QUICK = WebLimits(header_timeout_s=0.5, idle_timeout_s=0.5, send_timeout_s=0.5)
PATIENT = WebLimits()
ANYWHERE = Bind("127.0.0.1", 0)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Served:
    """A server under test: where it is, and what its application saw."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.address = sockets[0].getsockname()
        self.shutdown = trio.Event()
        self.left = trio.Event()
        self.entered = trio.Event()

    async def dial(self, *, rcvbuf: int | None = None) -> trio.SocketStream:
        sock = trio.socket.socket()
        if rcvbuf is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        await sock.connect(self.address)
        return trio.SocketStream(sock)

    async def tell(self, raw: bytes) -> bytes:
        """What comes back for `raw` until the server closes or says no more for a moment."""
        async with await self.dial() as client:
            await client.send_all(raw)
            return await read_all(client)

    async def alive(self) -> bool:
        return (
            await self.tell(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        ).endswith(b"hello")


def make_app(served: Callable[[], Served]) -> QuartTrio:  # noqa: C901 - a list of routes
    app = QuartTrio("fence")
    app.config["RESPONSE_TIMEOUT"] = None

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.post("/echo")
    async def echo() -> bytes:
        served().entered.set()
        return bytes(await request.body)

    @app.get("/peer")
    async def peer() -> str:
        return str(request.scope["state"]["peer"])

    @app.get("/big")
    async def big() -> Response:
        async def body() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(64 * 1024)
            finally:
                served().left.set()

        return Response(body())

    @app.get("/wait")
    async def wait() -> str:
        served().entered.set()
        try:
            await trio.sleep_forever()
        finally:
            served().left.set()

    @app.get("/broken")
    async def broken() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise ValueError("on purpose")

        return Response(body())

    @app.websocket("/ws")
    async def ws() -> None:
        async def drain() -> None:
            while True:
                await websocket.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            try:
                while True:
                    await websocket.send(bytes(64 * 1024))
                    await trio.lowlevel.checkpoint()
            finally:
                served().left.set()

    return app


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve(nursery: trio.Nursery) -> AsyncIterator[Serve]:
    """Starts a server; `limits` and `sockets` as wished."""
    started: list[Served] = []

    async def start(
        limits: WebLimits = PATIENT, sockets: list[socket.socket] | None = None
    ) -> Served:
        sockets = sockets or open_tcp(ANYWHERE)
        served = Served(sockets)
        started.append(served)
        app = make_app(lambda: served)
        await nursery.start(serve_web, app, sockets, limits, served.shutdown)
        return served

    yield start
    for served in started:
        served.shutdown.set()


def test_the_pinned_hypercorn_is_the_one_these_probes_were_made_for() -> None:
    assert version("hypercorn").startswith("0.18.")


@pytest.mark.parametrize("probe", REFUSED)
async def test_what_cannot_be_obeyed_is_refused_with_a_problem_and_the_server_serves_on(
    serve: Serve, probe: str
) -> None:
    served = await serve()
    raw, status = REFUSED[probe]
    answer = await served.tell(raw)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b"application/problem+json" in answer
    assert await served.alive()


async def test_h2c_upgrade_is_answered_in_http_1_1(serve: Serve) -> None:
    served = await serve()
    for settings in (b"AAMAAABkAAQAoAAAAAIAAAAA", b"!!"):
        answer = await served.tell(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n"
            b"Connection: close, Upgrade, HTTP2-Settings\r\nHTTP2-Settings: "
            + settings
            + b"\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b"upgrade" not in answer.lower()
    assert await served.alive()


async def test_websocket_extensions_are_not_negotiated_whatever_is_offered(serve: Serve) -> None:
    served = await serve()
    for offer in (
        b"permessage-deflate",
        b"permessage-deflate; server_max_window_bits=abc",
        b"\xff",
    ):
        async with await served.dial() as client:
            await client.send_all(handshake(b"Sec-WebSocket-Extensions: " + offer))
            answer = await read_until(client, b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101"), answer
        assert b"extensions" not in answer.lower()
    assert await served.alive()


@pytest.mark.parametrize("probe", BAD_FRAMES)
async def test_an_invalid_frame_ends_only_its_own_connection_and_says_why(
    serve: Serve, probe: str
) -> None:
    """With the codes of RFC 6455 section 7.4.1, while the client is being sent to."""
    served = await serve()
    raw, code = BAD_FRAMES[probe]
    async with await served.dial() as client:
        await client.send_all(handshake())
        answer = await read_until(client, b"\r\n\r\n")
        await client.send_all(raw)
        answer += await read_all(client)
    assert close_code(answer) == code
    with trio.fail_after(PATIENCE_S):
        await served.left.wait()
    assert await served.alive()


async def test_a_frame_of_which_only_the_head_comes_is_waited_for_until_its_client_goes(
    serve: Serve,
) -> None:
    served = await serve()
    async with await served.dial() as client:
        await client.send_all(handshake())
        await read_until(client, b"\r\n\r\n")
        await client.send_all(b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4))
        await client.receive_some()
        assert await served.alive()
    with trio.fail_after(PATIENCE_S):
        await served.left.wait()


async def test_a_ping_is_answered_while_messages_lie_unread(serve: Serve) -> None:
    served = await serve()
    async with await served.dial() as client:
        await client.send_all(handshake())
        await read_until(client, b"\r\n\r\n")
        for number in range(64):
            await client.send_all(frame(1, b"unread %d" % number))
        await client.send_all(frame(9, b"PROBE"))
        await read_until(client, b"\x8a\x05PROBE")


@pytest.mark.parametrize("path", ["/big", "/ws"])
@pytest.mark.parametrize("how", ["reset", "close", "stall"])
async def test_a_client_that_vanishes_or_stalls_while_it_is_sent_to_stops_the_sender(
    serve: Serve, path: str, how: str
) -> None:
    served = await serve(QUICK if how == "stall" else PATIENT)
    client = await served.dial(rcvbuf=4096)
    head = handshake() if path == "/ws" else GET.replace(b"/ ", b"/big ", 1)
    await client.send_all(head)
    await read_until(client, b"\r\n\r\n")
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how != "stall":
        await client.aclose()
    with trio.fail_after(PATIENCE_S):
        await served.left.wait()
    assert await served.alive()
    await client.aclose()


async def test_a_slow_client_that_moves_is_not_dropped(serve: Serve, mock_clock: MockClock) -> None:
    served = await serve(QUICK)
    async with await served.dial(rcvbuf=4096) as client:
        await client.send_all(GET.replace(b"/ ", b"/big ", 1))
        # Far longer than `send_timeout_s` in all, and a little in each.
        for _ in range(30):
            assert await client.receive_some(16 * 1024)
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(QUICK.send_timeout_s / 10)
        assert not served.left.is_set()


async def test_the_application_is_cancelled_when_its_client_goes(serve: Serve) -> None:
    served = await serve()
    client = await served.dial()
    await client.send_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    with trio.fail_after(PATIENCE_S):
        await served.entered.wait()
        await client.aclose()
        await served.left.wait()


async def test_even_when_the_client_had_sent_its_next_request_already(serve: Serve) -> None:
    served = await serve()
    client = await served.dial()
    await client.send_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    with trio.fail_after(PATIENCE_S):
        await served.entered.wait()
        await client.aclose()
        await served.left.wait()


async def test_a_client_that_sends_ahead_without_end_is_cut(serve: Serve) -> None:
    served = await serve()
    async with await served.dial() as client:
        await client.send_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")

        async def send_without_end() -> None:
            while True:
                await client.send_all(GET * 1000)

        with trio.fail_after(PATIENCE_S), pytest.raises(trio.BrokenResourceError):
            await send_without_end()
    with trio.fail_after(PATIENCE_S):
        await served.left.wait()
    assert await served.alive()


async def test_requests_sent_together_are_answered_in_order(serve: Serve) -> None:
    served = await serve()
    post = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await served.tell(GET + post + b"one" + GET + post + b"two" + last)
    bodies = [part.rsplit(b"\r\n\r\n", 1)[1] for part in answer.split(b"HTTP/1.1 200")[1:]]
    assert [body.strip() for body in bodies] == [b"hello", b"one", b"hello", b"two", b"hello"]


async def test_a_connection_is_kept_for_the_next_request_but_not_for_ever(
    serve: Serve, mock_clock: MockClock
) -> None:
    served = await serve(QUICK)
    async with await served.dial() as client:
        for _ in range(3):
            await client.send_all(GET)
            await read_until(client, b"hello")
        # Nothing more is asked: the server ends it, after `idle_timeout_s`.
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(QUICK.idle_timeout_s)
        assert await read_all(client) == b""


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_a_head_that_never_completes_is_given_up(serve: Serve, begin: bytes) -> None:
    served = await serve(QUICK)
    async with await served.dial() as client:
        with trio.fail_after(PATIENCE_S):
            try:
                await client.send_all(begin)
                while True:  # one more byte now and then does not buy more time
                    await trio.sleep(QUICK.header_timeout_s / 5)
                    await client.send_all(b"a")
            except trio.BrokenResourceError:
                pass
    assert await served.alive()


async def test_a_body_too_much_is_answered_before_the_connection_goes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LINGER_S", PATIENCE_S)
    served = await serve()
    async with await served.dial() as client:
        # The route reads no body, so the answer comes while the client still has much to send.
        await client.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nabc")
        answer = await read_until(client, b"hello")
        assert b"200" in answer
        await client.send_all(bytes(1_000_000))
        await client.send_eof()
        assert await read_all(client) == b""


async def test_an_answer_that_breaks_off_does_not_look_complete(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = await serve()
    answer = await served.tell(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"half\r\n")  # the chunk, and no last chunk
    assert await served.alive()
    lines = [r.getMessage() for r in caplog.records if r.name == "runwire.web"]
    assert any("on purpose" in line and "\n" not in line for line in lines)


async def test_connections_past_the_bound_are_told_so_and_room_comes_back(serve: Serve) -> None:
    served = await serve(WebLimits(max_connections_per_address=2))
    first, second = await served.dial(), await served.dial()
    for client in (first, second):
        await client.send_all(GET)
        await read_until(client, b"hello")
    answer = await served.tell(GET)
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"too_many_connections" in answer
    assert b"retry-after: 5" in answer
    await first.aclose()
    with trio.fail_after(PATIENCE_S):
        while not await served.alive():
            await trio.lowlevel.checkpoint()
    await second.aclose()


async def test_shutdown_lets_a_short_answer_finish_and_closes_idle_connections(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "_SHUTDOWN_S", PATIENCE_S)
    served = await serve()
    async with await served.dial() as idle, await served.dial() as posting:
        await idle.send_all(GET)
        await read_until(idle, b"hello")
        await posting.send_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        await posting.send_all(b"on")
        await served.entered.wait()
        served.shutdown.set()
        assert await read_all(idle) == b""
        await posting.send_all(b"e")
        answer = await read_all(posting)
    assert answer.endswith(b"one")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("path", [b"/big", b"/ws", b"/wait"])
async def test_shutdown_is_not_held_by_a_client_that_stalls(path: bytes) -> None:
    sockets = open_tcp(ANYWHERE)
    served = Served(sockets)
    with trio.fail_after(PATIENT.send_timeout_s / 2):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                serve_web,
                make_app(lambda: served),
                sockets,
                PATIENT,
                served.shutdown,
            )
            client = await served.dial(rcvbuf=4096)
            head = handshake() if path == b"/ws" else GET.replace(b"/ ", path + b" ", 1)
            await client.send_all(head)
            if path == b"/wait":
                await served.entered.wait()
            else:
                await read_until(client, b"\r\n\r\n")
            served.shutdown.set()
    assert served.left.is_set()
    await client.aclose()


async def test_a_unix_socket_tells_who_connected(tmp_path: Path) -> None:
    path = tmp_path / "runwire.sock"
    tcp = open_tcp(ANYWHERE)
    served = Served(tcp)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            serve_web, make_app(lambda: served), [*tcp, open_unix(path)], PATIENT, served.shutdown
        )
        async with await trio.open_unix_socket(path) as client:
            await client.send_all(GET.replace(b"/ ", b"/peer ", 1))
            answer = await read_until(client, b"pid")
            assert f"uid {os.getuid()} (pid {os.getpid()}".encode() in answer
        served.shutdown.set()


async def test_no_query_is_ever_logged_and_a_path_cannot_forge_a_line(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    served = await serve()
    await served.tell(
        b"GET /%0aforged?token=SECRET HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    await until(lambda: any(" GET /%0aforged 404 " in line for line in access_lines(caplog)))
    assert "SECRET" not in caplog.text


async def test_a_client_that_closes_once_it_has_everything_was_not_cut_off(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_FINISH_S", PATIENCE_S)
    caplog.set_level(logging.INFO)
    served = await serve()
    for _ in range(30):
        async with await served.dial() as client:
            await client.send_all(GET)
            await read_until(client, b"hello")
    await until(lambda: len(access_lines(caplog)) == 30)
    lines = access_lines(caplog)
    assert all(" GET / 200 " in line for line in lines), lines


def access_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "runwire.access"]
