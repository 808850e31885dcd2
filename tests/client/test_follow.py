"""Following a log: every byte once and in order, whatever breaks on the way."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from supervisor.client.address import Address, socket_address, url_address
from supervisor.client.follow import follow
from supervisor.errors import NoSuchRun, ProtocolError, ServerUnreachable
from supervisor.frames import (
    MEDIA_TYPE,
    DataFrame,
    EndFrame,
    Frame,
    encode_data,
    encode_end,
    encode_gap,
)
from supervisor.lifecycle import begin
from supervisor.model import SYSTEM, Entry, Moment, RunSpec, Stream, Submitted
from supervisor.wire import LogInfo, RunView, show_run

CHUNKS = ((Stream.STDOUT, b"one\n"), (Stream.STDERR, b"\xff\x00"), (Stream.STDOUT, b"three"))
OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RESTARTING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def a_run() -> RunView:
    """A run as the API shows it."""
    at = Moment(datetime(2025, 1, 2, tzinfo=UTC), 7, "boot")
    entry = Entry("r1", at, SYSTEM, Submitted(RunSpec(argv=("true",), cwd="/")))
    return show_run(begin(entry, seq=1), LogInfo(11, 0))


def frames_from(start: int) -> bytes:
    """The wire bytes of the log of CHUNKS, read from an offset."""
    wire = b""
    offset = 0
    for stream, data in CHUNKS:
        rest = data[max(0, start - offset) :]
        if rest:
            wire += encode_data(stream, offset + len(data) - len(rest), rest)
        offset += len(data)
    return wire + encode_end(offset, a_run())


class LogServer:
    """Serves the log of CHUNKS, and breaks connections as told."""

    def __init__(self, cuts: list[int | bytes]) -> None:
        """Each cut spoils one connection: bytes answer it, a number ends it after so many."""
        self.cuts = cuts
        self.starts: list[int] = []
        self.heads: list[bytes] = []

    async def handle(self, stream: trio.SocketStream) -> None:
        """One request, one answer."""
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive_some()
            self.heads.append(head)
            query = parse_qs(urlsplit(head.split()[1].decode()).query)
            assert query["follow"] == ["1"]
            self.starts.append(int(query["from"][0]))
            cut = self.cuts.pop(0) if self.cuts else None
            if isinstance(cut, bytes):
                await stream.send_all(cut)
                return
            body = frames_from(max(0, self.starts[-1]))
            await stream.send_all(OK + b"%x\r\n" % len(body[:cut]) + body[:cut] + b"\r\n")
            if cut is None:
                await stream.send_all(b"0\r\n\r\n")


@asynccontextmanager
async def serving(server: LogServer) -> AsyncIterator[Address]:
    """The address of the server, on a socket without a path on disk."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("")  # the kernel chooses an abstract address, unix(7)
        sock.listen()
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock.dup()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, server.handle, [listener])
            yield socket_address(sock.getsockname().decode())
            nursery.cancel_scope.cancel()


async def collect(address: Address, start: int = 0, patience_s: float = 60) -> list[Frame]:
    """All frames of the run's log."""
    async with aclosing(follow(address, "r1", start, patience_s=patience_s)) as frames:
        return [frame async for frame in frames]


def shown(frames: list[Frame]) -> tuple[bytes, bytes]:
    """What was written to stdout and to stderr; checks that offsets follow each other."""
    written = {Stream.STDOUT: b"", Stream.STDERR: b""}
    for before, after in pairwise(frames):
        assert after.offset == before.next
    for frame in frames:
        if isinstance(frame, DataFrame):
            written[frame.stream] += frame.data
    return written[Stream.STDOUT], written[Stream.STDERR]


@given(st.lists(st.integers(1, len(frames_from(0)) - 1), max_size=4))
def test_a_connection_may_break_anywhere_and_no_byte_is_lost_or_doubled(cuts: list[int]) -> None:
    async def check() -> None:
        async with serving(LogServer([*cuts])) as address:
            frames = await collect(address)
        assert shown(frames) == (b"one\nthree", b"\xff\x00")
        assert isinstance(frames[-1], EndFrame)

    trio.run(check, clock=MockClock(autojump_threshold=0))


async def test_it_resumes_at_the_offset_after_the_last_whole_frame(autojump_clock: object) -> None:
    first = len(encode_data(*CHUNKS[0][:1], 0, CHUNKS[0][1]))
    server = LogServer([first + 3, 0])
    async with serving(server) as address:
        await collect(address)
    assert server.starts == [0, 4, 4]


async def test_a_broken_connection_is_never_the_end(autojump_clock: object) -> None:
    """Even one that a server ended properly, but before the end frame."""
    server = LogServer([OK + b"0\r\n\r\n", OK])
    async with serving(server) as address:
        frames = await collect(address)
    assert len(server.starts) == 3
    assert shown(frames) == (b"one\nthree", b"\xff\x00")


async def test_a_server_that_restarts_is_waited_for(autojump_clock: object) -> None:
    server = LogServer([RESTARTING, RESTARTING, b""])
    async with serving(server) as address:
        assert isinstance((await collect(address))[-1], EndFrame)


async def test_a_server_that_stays_away_is_given_up_with_the_offset_reached(
    autojump_clock: object,
) -> None:
    first = len(encode_data(Stream.STDOUT, 0, b"one\n"))
    server = LogServer([first, *[RESTARTING] * 100])
    began = trio.current_time()
    async with serving(server) as address:
        with pytest.raises(ServerUnreachable, match=r"run r1 .* offset 4"):
            await collect(address, patience_s=30)
    assert 30 <= trio.current_time() - began <= 33


async def test_a_server_that_answers_but_is_silent_is_asked_again_for_ever(
    autojump_clock: MockClock,
) -> None:
    """A run may write nothing for days; only a server that is not there is given up."""
    silent = iter(range(20))

    class Silent(LogServer):
        async def handle(self, stream: trio.SocketStream) -> None:
            if next(silent, None) is None:
                await super().handle(stream)
                return
            await stream.send_all(OK)
            while await stream.receive_some():
                pass
            await stream.aclose()

    async with serving(Silent([])) as address:
        began = trio.current_time()
        assert isinstance((await collect(address, patience_s=30))[-1], EndFrame)
        assert trio.current_time() - began >= 20 * 60


async def test_a_refusal_is_final() -> None:
    body = b'{"title":"Not Found","status":404,"code":"no_such_run","detail":"no run r1"}'
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    server = LogServer([answer])
    async with serving(server) as address:
        with pytest.raises(NoSuchRun, match="no run r1"):
            await collect(address)
    assert len(server.starts) == 1


async def test_what_is_no_frame_is_told_and_not_tried_again() -> None:
    server = LogServer([OK + b"5\r\n<html\r\n10\r\n>padding, padding\r\n0\r\n\r\n"])
    async with serving(server) as address:
        with pytest.raises(ProtocolError, match="frame"):
            await collect(address)


async def test_a_log_that_begins_later_begins_with_a_gap(autojump_clock: object) -> None:
    """The offset after the gap is where a broken connection resumes."""
    gap = encode_gap(0, 6)
    server = LogServer([OK + b"%x\r\n" % len(gap) + gap + b"\r\n"])
    async with serving(server) as address:
        frames = await collect(address)
    assert server.starts == [0, 6]
    assert shown(frames) == (b"three", b"")


async def test_a_negative_start_is_asked_again_until_the_first_frame(
    autojump_clock: object,
) -> None:
    server = LogServer([RESTARTING])
    async with serving(server) as address:
        await collect(address, -100)
    assert server.starts == [-100, -100]


async def test_it_asks_for_frames_and_shows_the_token() -> None:
    """Over TCP as well."""
    server = LogServer([])
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        port = listener.socket.getsockname()[1]
        address = url_address(f"http://127.0.0.1:{port}", token="some-token")
        assert shown(await collect(address)) == (b"one\nthree", b"\xff\x00")
        nursery.cancel_scope.cancel()
    assert f"Accept: {MEDIA_TYPE}".encode() in server.heads[0]
    assert b"Authorization: Bearer some-token" in server.heads[0]


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match="runwire serve"):
        await collect(socket_address(str(tmp_path / "no.sock")), patience_s=0)
