"""The client against servers that answer wrongly, late, partly, or not at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from supervisor.client.address import Address, url_address
from supervisor.client.api import Client, ConnectionBroke, RunFilter, run_path
from supervisor.errors import (
    NoSuchJob,
    NoSuchRun,
    NotFound,
    ProtocolError,
    RunwireError,
    ServerUnreachable,
)
from supervisor.wire import SubmitRequest


class Script:
    """A server that answers each connection with the next of its lines, whatever is asked."""

    def __init__(self, answers: list[bytes]) -> None:
        """Nothing is answered before `serve`."""
        self.answers = answers
        self.requests: list[bytes] = []

    def serve(self, listener: socket.socket) -> None:
        """Answers all it has."""
        for answer in self.answers:
            caller, _ = listener.accept()
            with caller:
                request = b""
                while not whole(request):
                    request += caller.recv(65536)
                self.requests.append(request)
                caller.sendall(answer)


def whole(request: bytes) -> bool:
    """True if nothing of the request is still to come."""
    head, end, body = request.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return bool(end) and len(body) >= int(length or 0)


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[Client, Script]]:
    """A client of a server with that script."""
    script = Script([*answers])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=script.serve, args=[listener], daemon=True)
        thread.start()
        address = url_address(f"http://127.0.0.1:{listener.getsockname()[1]}/base", token="secret")
        yield Client(address, timeout_s=60), script
        thread.join(60)
        assert not thread.is_alive()


def answer(status: str, body: bytes, kind: str = "application/json") -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", ServerUnreachable),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ServerUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", ServerUnreachable),
        (answer("200 OK", b"<html>"), ProtocolError),
        (answer("200 OK", b'{"jobs":[{"name":5}]}'), ProtocolError),
        (answer("302 Found", b""), ProtocolError),
        (answer("404 Not Found", b"<html>", "text/html"), NotFound),
    ],
)
def test_an_answer_that_is_none_of_runwires_is_an_error_of_ours(
    said: bytes, kind: type[RunwireError]
) -> None:
    with answering(said) as (client, _), pytest.raises(kind):
        client.jobs().value  # noqa: B018 - what comes is decoded when it is asked for


def test_a_request_carries_base_path_token_and_query() -> None:
    with answering(answer("200 OK", b'{"runs":[],"next":null}')) as (client, script):
        wanted = RunFilter(status=("failed", "queued"), text="a b", limit=5, before="x")
        assert client.runs(wanted).value.runs == ()
    head = script.requests[0].decode().lower()
    line = "get /base/runs?q=a+b&limit=5&before=x&status=failed&status=queued http/1.1\r\n"
    assert head.startswith(line)
    assert "\r\nauthorization: bearer secret\r\n" in head
    assert head.count("\r\nhost:") == 1


def test_a_filter_asks_for_nothing_that_was_left_out() -> None:
    assert RunFilter().query() == {}


@pytest.mark.parametrize("sent", [b"", b"abc"])
def test_a_log_whose_connection_breaks_is_not_taken_for_a_whole_one(sent: bytes) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + sent
    pieces: list[bytes] = []
    with answering(said) as (client, _), pytest.raises(ConnectionBroke):
        pieces.extend(client.log("r"))
    assert b"".join(pieces) == sent


def test_a_chunked_log_without_its_last_chunk_is_not_whole() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    with answering(said) as (client, _), pytest.raises(ConnectionBroke):
        list(client.log("r", stream="stdout"))


def test_a_submit_with_an_id_is_sent_again_until_it_is_answered() -> None:
    refused = answer("422 Unprocessable Content", b'{"title":"t","status":422,"code":"bad_value"}')
    script_of = answering(b"", b"HTTP/1.1 201", refused)
    with script_of as (client, script), pytest.raises(RunwireError) as raised:
        client.submit(SubmitRequest(id="mine", job="j"))
    assert raised.value.code == "bad_value"
    assert len(set(script.requests)) == 1
    assert len(script.requests) == 3


def test_a_submit_without_an_id_is_sent_once_and_may_have_arrived() -> None:
    with answering(b"") as (client, script), pytest.raises(ConnectionBroke):
        client.submit(SubmitRequest(job="j"))
    assert msgspec.json.decode(script.requests[0].partition(b"\r\n\r\n")[2])["job"] == "j"


def test_a_server_that_was_never_reached_is_not_asked_again() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # so that nobody else gets it, and nobody listens there
        port = nobody.getsockname()[1]
        with pytest.raises(ServerUnreachable, match=f"127.0.0.1:{port}"):
            Client(url_address(f"http://127.0.0.1:{port}")).submit(SubmitRequest(id="x", job="j"))


def test_a_server_that_does_not_answer_in_time_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = url_address(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ServerUnreachable, match="does not answer"):
            Client(address, timeout_s=0.05).jobs()


@pytest.mark.parametrize("name", ["..", "a/b", "a?b", "", "a\n", "-x", "x" * 65])
def test_what_cannot_be_an_id_never_becomes_a_path(name: str) -> None:
    with pytest.raises(NoSuchRun):
        run_path(name)
    with pytest.raises(NoSuchJob):
        Client(Address()).job(name)
