"""Following a run at a scripted server: every byte once and in order, whatever breaks on the way."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock
from trio_websocket import WebSocketConnection

from supervisor import messages
from supervisor.client.address import Address, socket_address, url_address
from supervisor.client.dial import SILENCE_S
from supervisor.client.follow import WINDOW_BYTES, Wanted, follow
from supervisor.client.updates import End, Gap
from supervisor.errors import (
    BadRequest,
    Denied,
    Forbidden,
    NoSuchRun,
    ProtocolError,
    RunwireError,
    ServerUnreachable,
    Unauthenticated,
)
from supervisor.frames import Output, encode_output
from supervisor.messages import StatusMessage
from supervisor.model import Stream
from tests.client.scripted import (
    ERR,
    OUT,
    RESTARTING,
    SIZE,
    Closes,
    Cut,
    Message,
    StreamServer,
    a_run,
    collect,
    end,
    log_from,
    serving,
    shown,
    status,
)

# --- what is told -------------------------------------------------------------------------------


async def test_output_statuses_gaps_and_the_end_are_told_as_the_server_says_them() -> None:
    gap = messages.gap_message(0, 6, "trimmed").decode()
    script: list[Message | Closes] = [
        status(1),
        gap,
        '{"type":"ping"}',
        encode_output(Stream.STDOUT, 6, b"three", 5),
        end(),
    ]
    async with serving(StreamServer(script)) as address:
        first, *rest = await collect(address)
    assert isinstance(first, StatusMessage)
    assert (first.seq, first.text) == (1, "queued")
    assert rest == [
        Gap(0, 6, "trimmed"),
        Output(Stream.STDOUT, 6, b"three", 5),
        End(SIZE, a_run()),
    ]


async def test_it_asks_as_documented_and_closes_after_the_end() -> None:
    """Over TCP, below a base path, with the token in a header and not in the address."""
    server = StreamServer()
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        port = listener.socket.getsockname()[1]
        address = url_address(f"http://127.0.0.1:{port}/base/", token="some-token")
        async with follow(address, "r1", Wanted(start=2, stream="stderr")) as updates:
            assert isinstance([update async for update in updates][-1], End)
        nursery.cancel_scope.cancel()
    assert server.paths == ["/base/runs/r1/stream"]
    assert server.asked == [
        {"from": "2", "seq": "0", "window": str(WINDOW_BYTES), "streams": "stderr"}
    ]
    assert server.heads[0][b"authorization"] == b"Bearer some-token"
    assert server.closed_with == [1000]


@pytest.mark.parametrize("run_id", ["..", "a/b", "a?b", "", "-x"])
async def test_what_cannot_be_an_id_never_becomes_a_path(run_id: str) -> None:
    with pytest.raises(NoSuchRun):
        async with follow(Address(), run_id) as updates:
            await anext(updates)


async def test_what_is_raised_inside_comes_out_as_it_is() -> None:
    class MyOwn(Exception):
        pass

    async with serving(StreamServer()) as address:
        with pytest.raises(MyOwn):  # noqa: PT012 - what is around the error is what is tested
            async with follow(address, "r1") as updates:
                async for _ in updates:
                    raise MyOwn


async def test_who_leaves_early_leaves_no_connection_behind() -> None:
    server = StreamServer([status(1)])
    async with serving(server) as address:
        async with follow(address, "r1") as updates:
            assert isinstance(await anext(updates), StatusMessage)
        with trio.fail_after(60):
            while not server.closed_with:  # noqa: ASYNC110 - it is the server's to notice
                await trio.sleep(0.005)


# --- acknowledging ------------------------------------------------------------------------------


async def test_what_was_taken_is_acknowledged_and_nothing_else() -> None:
    """The update that one is still busy with is not taken yet."""
    size = WINDOW_BYTES // 4
    script = [encode_output(Stream.STDOUT, at * size, b"x" * size) for at in range(3)]
    server = StreamServer(script)
    async with serving(server) as address, follow(address, "r1") as updates:
        for taken in range(3):
            await anext(updates)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert server.heard == [
                {"type": "ack", "offset": at * size} for at in range(1, taken + 1)
            ]


# --- resuming -----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 900).map(Cut), max_size=4))
def test_a_connection_may_break_anywhere_and_nothing_is_lost_or_doubled(cuts: list[Cut]) -> None:
    """In the handshake, within a message, or between messages."""

    async def check() -> None:
        async with serving(StreamServer(*cuts)) as address:
            updates = await collect(address)
        assert shown(updates) == (OUT, ERR)
        assert [u.seq for u in updates if isinstance(u, StatusMessage)] == [1, 2]

    trio.run(check, clock=MockClock(autojump_threshold=0))


async def test_it_resumes_after_the_last_update(autojump_clock: object) -> None:
    server = StreamServer([*log_from(0)[:3], Closes(1012)], [Closes(1012)])
    async with serving(server) as address:
        assert shown(await collect(address)) == (OUT, ERR)
    assert [(asked["from"], asked["seq"]) for asked in server.asked] == [
        ("0", "0"),
        ("4", "2"),
        ("4", "2"),
    ]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4408, 4429, 4430])
async def test_a_connection_that_ends_before_the_end_is_never_the_end(
    code: int, autojump_clock: object
) -> None:
    """Even one that a server closed properly."""
    server = StreamServer([Closes(code)], [*log_from(0)[:-1], Closes(code)])
    async with serving(server) as address:
        assert shown(await collect(address)) == (OUT, ERR)
    assert len(server.asked) == 3


async def test_after_a_gap_it_resumes_where_the_log_goes_on(autojump_clock: object) -> None:
    server = StreamServer([messages.gap_message(0, 6, "trimmed").decode(), Closes(1001)])
    async with serving(server) as address:
        assert shown(await collect(address)) == (b"three", b"")
    assert [asked["from"] for asked in server.asked] == ["0", "6"]


async def test_a_negative_start_is_asked_again_until_the_first_output(
    autojump_clock: object,
) -> None:
    server = StreamServer([status(1), Closes(1001)], [log_from(0)[2], Closes(1001)])
    async with serving(server) as address:
        await collect(address, -100)
    assert [asked["from"] for asked in server.asked] == ["-100", "-100", "4"]


@pytest.mark.parametrize(
    "answer", [RESTARTING, b"HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n", b""]
)
async def test_a_server_that_is_not_ready_is_waited_for(
    answer: bytes, autojump_clock: object
) -> None:
    """One that leaves in the middle of the handshake included."""
    async with serving(StreamServer(answer, answer)) as address:
        began = trio.current_time()
        assert shown(await collect(address)) == (OUT, ERR)
        assert 0.1 <= trio.current_time() - began <= 2


async def test_a_server_that_stays_away_is_waited_for_as_long_as_one_likes(
    autojump_clock: object,
) -> None:
    """The error tells how far it was read."""
    server = StreamServer([log_from(0)[2], Closes(1012)], *[RESTARTING] * 200)
    async with serving(server) as address:
        began = trio.current_time()
        with pytest.raises(ServerUnreachable, match=r"run r1 .* offset 4"):
            await collect(address, patience_s=30)
        assert 30 <= trio.current_time() - began <= 33
        assert shown(await collect(address)) == (OUT, ERR)  # it was there again 5 minutes later


async def test_a_dead_peer_is_noticed_and_one_that_pings_is_not_dead(
    autojump_clock: MockClock,
) -> None:
    """A run may write nothing for days; the connection that says nothing at all is given up."""

    class Pinging(StreamServer):
        async def listen(self, ws: WebSocketConnection) -> None:
            if len(self.asked) < 3:
                for _ in range(10):
                    await trio.sleep(20)
                    await ws.send_message(messages.PING.decode())
            await super().listen(ws)

    server = Pinging([status(1)], [])
    async with serving(server) as address:
        began = trio.current_time()
        assert shown(await collect(address, patience_s=30)) == (OUT, ERR)
        took_s = trio.current_time() - began
    assert len(server.asked) == 3
    assert 2 * (200 + SILENCE_S) <= took_s <= 2 * (200 + SILENCE_S) + 1


# --- what is final ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status_line", "code", "error"),
    [
        ("404 Not Found", "no_such_run", NoSuchRun),
        ("403 Forbidden", "forbidden", Forbidden),
        ("401 Unauthorized", "unauthenticated", Unauthenticated),
        ("422 Unprocessable Content", "bad_value", BadRequest),
    ],
)
async def test_a_refused_handshake_is_final(
    status_line: str, code: str, error: type[RunwireError]
) -> None:
    number = status_line[:3]
    body = f'{{"title":"t","status":{number},"code":"{code}","detail":"because"}}'
    head = f"HTTP/1.1 {status_line}\r\nContent-Length: {len(body)}\r\n\r\n"
    server = StreamServer((head + body).encode())
    async with serving(server) as address:
        with pytest.raises(error, match="because"):
            await collect(address)
    assert len(server.paths) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (4400, BadRequest),
        (4401, Unauthenticated),
        (4403, Forbidden),
        (4404, NoSuchRun),
        (4409, ProtocolError),
        (1009, ProtocolError),
    ],
)
async def test_a_close_that_says_no_is_final_and_tells_why(
    code: int, error: type[RunwireError]
) -> None:
    why = messages.error_message("x", "because of this").decode()
    server = StreamServer([log_from(0)[2], why, Closes(code)])
    async with serving(server) as address:
        with pytest.raises(error, match="because of this"):
            await collect(address)
    assert len(server.paths) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n" * 3,
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_what_is_not_runwire_is_told_and_not_tried_again(answer: bytes) -> None:
    server = StreamServer(answer)
    async with serving(server) as address:
        with pytest.raises(ProtocolError, match=r"Runwire"):
            await collect(address)
    assert len(server.paths) == 1


@pytest.mark.parametrize("message", [b"<html>", "<html>", '{"type":"gap"}'])
async def test_what_is_no_message_is_told_and_not_tried_again(message: Message) -> None:
    server = StreamServer([message])
    async with serving(server) as address:
        with pytest.raises(ProtocolError):
            await collect(address)
    assert len(server.paths) == 1


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match="runwire serve"):
        await collect(socket_address(str(tmp_path / "no.sock")), patience_s=0)


@pytest.mark.skipif("os.geteuid() == 0", reason="root may use every socket")
async def test_a_socket_of_another_user_is_denied(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "x"))
        (tmp_path / "x").chmod(0)
        with pytest.raises(Denied):
            await collect(socket_address(str(tmp_path / "x")))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Runwire's tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path / "server.pem"
    form = serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(pem, form, plain) + made.public_bytes(pem))
    return file


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls_the_server_has_to_prove_who_it_is(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = StreamServer()

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()
            await server.handle(cast("trio.SocketStream", stream))

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(
            partial(trio.serve_ssl_over_tcp, handle, 0, context, host="127.0.0.1")
        )
        port = listener.transport_listener.socket.getsockname()[1]
        address = url_address(f"https://127.0.0.1:{port}/base", token="t")
        if trusted:
            assert shown(await collect(address)) == (OUT, ERR)
            assert server.paths == ["/base/runs/r1/stream"]
        else:
            with pytest.raises(ProtocolError, match="cannot be trusted"):
                await collect(address)
        nursery.cancel_scope.cancel()
