"""Hostile clients against the whole server: after each of them it serves on, and it ends in time."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import trio

from tests.cli.conftest import Server
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
from tests.web.served import TOKEN, Site
from tests.web.watching import stingy, watch

AUTHORIZATION = b"Authorization: Bearer " + TOKEN.encode()
MIB = 1024 * 1024


def asking(run_id: str, query: str = "") -> bytes:
    """A good handshake."""
    path = f"/runs/{run_id}/stream{query}".encode()
    return handshake(AUTHORIZATION, path=path).replace(b"Host: x", b"Host: localhost")


@pytest.fixture
async def flood(site: Site) -> str:
    """A run that writes as much as it can."""
    run_id = await site.shell("yes")
    await site.running(run_id, written=MIB)
    return run_id


@pytest.fixture
async def opened(site: Site, flood: str) -> AsyncIterator[trio.SocketStream]:
    """A viewer that was let in, and is being sent more than it takes."""
    async with await stingy(site) as client:
        await client.send_all(asking(flood))
        await read_until(client, b"\r\n\r\n")
        yield client


async def alive(site: Site) -> bool:
    """Whether others are served."""
    async with await trio.open_tcp_stream(*site.address) as client:
        await client.send_all(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        return b" 200 " in await read_all(client)


async def test_no_request_harms_the_server(site: Site, subtests: pytest.Subtests) -> None:
    for name, (raw, status) in REFUSED.items():
        with subtests.test(name):
            async with await trio.open_tcp_stream(*site.address) as client:
                await client.send_all(raw)
                assert (await read_all(client)).startswith(b"HTTP/1.1 " + status)
            assert await alive(site)


async def test_no_frame_harms_the_server_nor_other_viewers(
    site: Site, subtests: pytest.Subtests
) -> None:
    run_id = await site.shell("echo ready; sleep 60")
    await site.running(run_id, written=6)
    async with watch(site, f"/runs/{run_id}/stream") as other:
        await other.hear_bytes(6)
        for name, (raw, code) in BAD_FRAMES.items():
            with subtests.test(name):
                async with await trio.open_tcp_stream(*site.address) as client:
                    await client.send_all(asking(run_id))
                    answer = await read_until(client, b"ready")
                    await client.send_all(raw)
                    assert close_code(answer + await read_all(client)) == code
        assert await alive(site)
        await site.http.post(f"/runs/{run_id}/cancel")
        await other.hear_until("end")


async def test_h2c_and_pings_and_huge_frames_while_a_flood_is_under_way(
    site: Site, opened: trio.SocketStream
) -> None:
    for number in range(64):
        await opened.send_all(frame(1, b'{"type":"ack","offset":%d}' % number))
    await opened.send_all(b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4))
    async with await trio.open_tcp_stream(*site.address) as client:
        await client.send_all(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\n"
            b"Connection: close, Upgrade, HTTP2-Settings\r\nHTTP2-Settings: !!\r\n\r\n"
        )
        assert (await read_all(client)).startswith(b"HTTP/1.1 200")
    assert await alive(site)


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_viewers_that_vanish_in_the_middle_harm_nobody(
    site: Site, flood: str, how: str
) -> None:
    for _ in range(20):
        async with await stingy(site) as client:
            await client.send_all(asking(flood))
            await read_until(client, b"\r\n\r\n")
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert await alive(site)
    assert (await site.run(flood))["status"] == "running"


@pytest.mark.parametrize(
    "query",
    [
        "?from=" + "9" * 18,
        "?from=-" + "9" * 18,
        "?seq=" + "9" * 18,
        "?window=" + "9" * 18,
        "?streams=stdout" + "&streams=stderr" * 2000,
    ],
)
async def test_huge_numbers_and_long_queries_are_only_numbers_and_queries(
    site: Site, query: str
) -> None:
    run_id = await site.shell("echo hello")
    await site.ended(run_id)
    async with watch(site, f"/runs/{run_id}/stream{query}") as watcher:
        while not watcher.said or watcher.said[-1]["type"] not in {"end", "error"}:
            await watcher.hear()
    assert await alive(site)


async def test_messages_just_short_enough_are_only_nonsense(site: Site, flood: str) -> None:
    async with watch(site, f"/runs/{flood}/stream?window=1000") as watcher:
        await watcher.say("x" * 64 * 1024)
        assert (await watcher.closed())[0] == 4400
    assert await alive(site)


# --- a server of its own ---------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


def dial(server: Server, request: bytes) -> socket.socket:
    """A client that has read the head of the answer, and reads no more."""
    host, port = server.url.removeprefix("http://").rstrip("/").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE_S)
    sock.connect((host, int(port)))
    sock.sendall(request.replace(TOKEN.encode(), b"devtoken"))
    if request.endswith(b"\r\n\r\n"):
        assert sock.recv(12) in {b"HTTP/1.1 101", b"HTTP/1.1 200"}
    return sock


def test_sigterm_is_obeyed_at_once_whatever_clients_do_not_do(server: Server) -> None:
    run_id = server.submit("--", "yes")
    while server.run_view(run_id).log.size < 20 * MIB:
        time.sleep(0.01)
    follow = b"GET /runs/%b/log?follow=1 HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n"
    requests: Sequence[bytes] = [
        *[asking(run_id)] * 10,
        asking(run_id, "?window=10"),
        handshake(AUTHORIZATION, path=b"/events").replace(b"Host: x", b"Host: localhost"),
        asking(run_id).replace(AUTHORIZATION, b"X: y"),  # will never say hello
        *[follow % (run_id.encode(), AUTHORIZATION)] * 3,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HT",
        b"",
    ]
    clients = [dial(server, request) for request in requests]
    process = server.process
    assert process is not None
    began = time.monotonic()
    server.stop(signal.SIGTERM)
    # `yes` ends at once, and those who take nothing are waited for two seconds at most. The rest
    # is for a busy machine; a client that stalls would be given half a minute.
    assert time.monotonic() - began < 25
    assert process.returncode == 0
    for client in clients:
        client.close()
    server.start()
    assert server.run_view(run_id).status == "cancelled"


def test_viewers_that_never_read_cost_neither_the_job_nor_memory_nor_other_viewers(
    server: Server, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    size = 40 * MIB
    run_id = server.submit("--", "sh", "-c", f"cat {gate}; yes | head -c {size}")
    stalled = [dial(server, asking(run_id)) for _ in range(30)]
    server.get(f"/runs/{run_id}/log?from=0")  # what is needed once is in memory
    before = peak_memory(server)
    gate.write_bytes(b"")
    # The job is done and another viewer has it all while they have nothing.
    assert len(server.get(f"/runs/{run_id}/log?follow=1")) == size
    assert server.run_view(run_id).status == "succeeded"
    for client in stalled:
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        client.close()
    # Were what they miss kept for them, it would be thirty times the log.
    assert peak_memory(server) - before < 2 * size


def peak_memory(server: Server) -> int:
    """The most that the server ever had in memory, in bytes."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
