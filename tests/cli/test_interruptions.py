"""run and logs go on over connections that break and servers that are killed, as long as they may."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from supervisor.client.tokentext import read_token
from supervisor.model import Reason, Status
from tests.cli.conftest import (
    Echo,
    Server,
    lines,
    read_all,
    read_until,
    wait_known,
)
from tests.cutting import open_proxy
from tests.patience import PATIENCE_S

TRAPS_TERM = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done"


# --- connections that break, tokens that end ------------------------------------------------------


async def test_connections_that_are_cut_cost_no_byte_of_either_stream(server: Server) -> None:
    program = (
        "import sys\n"
        "for n in range(100000):\n"
        "    print(n, file=sys.stderr if n % 10 == 0 else sys.stdout, flush=n % 100 == 0)"
    )
    directly = subprocess.run(["python3", "-c", program], capture_output=True, check=True)
    limits = [10, 200, 5_000, 40_000, 90_000, 150_000]
    with trio.fail_after(PATIENCE_S):
        async with open_proxy(partial(trio.open_unix_socket, server.socket), limits) as proxy:
            flags = ["--url", f"http://127.0.0.1:{proxy.port}", "--token", "devtoken"]
            command = ["run", *flags, "--", "python3", "-c", program]
            results: dict[str, bytes] = {}
            async with server.running(*command) as process, trio.open_nursery() as nursery:
                nursery.start_soon(collect, process.stdout, results, "out")
                nursery.start_soon(collect, process.stderr, results, "err")
                assert await process.wait() == 0
            assert proxy.connections > len(limits)
    assert (results["out"], results["err"]) == (directly.stdout, directly.stderr)


async def collect(
    stream: trio.abc.ReceiveStream | None, results: dict[str, bytes], name: str
) -> None:
    results[name] = await read_all(stream)


async def test_a_token_file_renews_the_token_of_what_goes_on(
    server: Server, echo: Echo, tmp_path: Path
) -> None:
    """The first one has long expired when the run ends, and when it is to be cancelled."""
    file = tmp_path / "token"
    scopes = ["--scope", "runs:read", "--scope", "runs:exec", "--scope", "runs:cancel"]
    short = server.output("token", "create", *scopes, "--lifetime", "3s")
    file.write_text(short)
    flags = ["--url", server.url, "--token-file", str(file)]
    with trio.fail_after(PATIENCE_S):
        async with server.running("run", "--id", "renewed", *echo.command, *flags) as process:
            echo.tell("one")
            await read_until(process.stdout, b"one\n")
            file.write_text(server.output("token", "create", *scopes))
            while (read_token(short.strip()).until or 0) >= time.time():  # noqa: ASYNC110
                await trio.sleep(0.05)
            echo.tell("two")
            await read_until(process.stdout, b"two\n")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 143
            assert (await read_all(process.stderr)).startswith(b"runwire: run renewed cancelled")
    assert server.run_view("renewed").status is Status.CANCELLED


async def test_without_another_token_following_ends_and_the_run_does_not(
    server: Server, echo: Echo
) -> None:
    run_id = server.submit(*echo.command)
    token = server.output("token", "create", "--scope", "runs:read", "--lifetime", "2s").strip()
    with trio.fail_after(PATIENCE_S):
        flags = ["--url", server.url, "--token", token]
        async with server.running("logs", "-f", run_id, *flags) as process:
            assert await process.wait() == 77
            error = await read_all(process.stderr)
    assert b"expired" in error
    assert error.count(b"\n") == 1
    assert server.run_view(run_id).status is Status.RUNNING
    server.output("cancel", "--wait", run_id)


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--token-file", "/nonexistent"], 65, "token-file: the token cannot be read from /non"),
        (["--token-file", "/dev/null"], 65, "token-file: there is no token in /dev/null"),
        (["--token-file", "x", "--token", "y"], 2, "not both"),
    ],
)
def test_a_token_file_without_a_token_is_named(
    server: Server, flags: list[str], code: int, said: str
) -> None:
    done = server.run("list", *flags)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr.decode()


# --- a server that is killed ----------------------------------------------------------------------


async def test_run_survives_a_killed_server_and_tells_that_the_run_was_lost(
    own_server: Server, echo: Echo
) -> None:
    """What the run wrote is shown once; then the restarted server says how it ended."""
    with trio.fail_after(PATIENCE_S):
        async with own_server.running("run", "--id", "r", *echo.command) as process:
            echo.tell("out")
            echo.tell("!err")
            await read_until(process.stdout, b"out\n")
            await read_until(process.stderr, b"err\n")
            own_server.stop(signal.SIGKILL)
            await trio.to_thread.run_sync(own_server.start)
            assert await read_all(process.stdout) == b""
            assert (await read_all(process.stderr)).startswith(b"runwire: run r failed (lost)")
            assert await process.wait() == 125
    run = own_server.run_view("r")
    assert (run.status, run.reason) == (Status.FAILED, Reason.LOST)


async def test_over_tcp_a_token_opens_the_same_door(own_server: Server, echo: Echo) -> None:
    """A killed server that comes back at its address included."""
    flags = ["--url", own_server.url, "--token", "devtoken"]
    own_server.bind = own_server.url.removeprefix("http://").rstrip("/")
    with trio.fail_after(PATIENCE_S):
        async with own_server.running("run", *flags, "--id", "r", *echo.command) as process:
            echo.tell("out")
            echo.tell("!err")
            await read_until(process.stdout, b"out\n")
            await read_until(process.stderr, b"err\n")
            own_server.stop(signal.SIGKILL)
            await trio.to_thread.run_sync(own_server.start)
            assert (await read_all(process.stderr)).startswith(b"runwire: run r failed (lost)")
            assert await process.wait() == 125
    assert sorted(own_server.run("logs", *flags, "r").stdout.splitlines()) == [b"err", b"out"]


async def test_a_killed_server_loses_what_ran_and_goes_on_with_what_waited(
    narrow_server: Server, echo: Echo
) -> None:
    """`logs -f` of the one ends there; `run` of the other waits, and misses nothing."""
    first = narrow_server.submit(*echo.command)
    echo.tell("before")
    with trio.fail_after(PATIENCE_S):
        async with (
            narrow_server.running("logs", "-f", first) as one,
            narrow_server.running("run", "--id", "second", "--", "seq", "100000") as two,
        ):
            await read_until(one.stdout, b"before\n")
            await wait_known(narrow_server, "second")
            narrow_server.stop(signal.SIGKILL)
            await trio.to_thread.run_sync(narrow_server.start)
            assert await read_all(one.stdout) == b""
            assert await one.wait() == 0
            queued = await read_all(two.stdout)
            assert await two.wait() == 0
    assert queued == b"".join(b"%d\n" % number for number in range(1, 100001))


async def test_logs_f_of_much_output_survives_connections_cut_at_random(
    own_server: Server,
) -> None:
    """SIGKILL in the middle of the bytes; the next server serves the rest."""
    run_id = own_server.submit("--", "seq", "1000000")
    own_server.run("logs", "-f", "--from", "6888896", run_id)
    expected = b"".join(b"%d\n" % number for number in range(1, 1000001))
    with trio.fail_after(PATIENCE_S):
        async with own_server.running("logs", "-f", run_id) as process:
            assert process.stdout is not None
            seen = b""
            for _ in range(2):
                while len(seen) < 100_000:
                    seen += await process.stdout.receive_some(4096)
                own_server.stop(signal.SIGKILL)
                await trio.to_thread.run_sync(own_server.start)
            seen += await read_all(process.stdout)
            assert await process.wait() == 0
    assert seen == expected


async def test_a_server_told_to_stop_cancels_the_run_and_run_says_so(own_server: Server) -> None:
    with trio.fail_after(PATIENCE_S):
        async with own_server.running("run", "--shell", TRAPS_TERM) as process:
            await read_until(process.stdout, b"ready\n")
            await trio.to_thread.run_sync(own_server.stop)
            assert await read_all(process.stdout) == b"bye\n"
            assert b"cancelled" in await read_all(process.stderr)
            assert await process.wait() == 7


async def test_a_cancel_reaches_a_server_that_was_away(narrow_server: Server) -> None:
    """The wish is told again until somebody hears it."""
    blocker = narrow_server.submit("--", "sleep", "1000")
    with trio.fail_after(PATIENCE_S):
        async with narrow_server.running("run", "--id", "w", "--", "sleep", "1000") as process:
            await wait_known(narrow_server, "w")
            narrow_server.stop(signal.SIGKILL)
            process.send_signal(signal.SIGINT)
            await trio.to_thread.run_sync(narrow_server.start)
            assert await process.wait() in {130, 143}
    assert narrow_server.run_view("w").status is Status.CANCELLED
    assert narrow_server.run_view(blocker).reason is Reason.LOST


def forward(caller: socket.socket, behind: socket.socket) -> bytes:
    """Passes one request on; the answer to it."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += caller.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length is not None
    while len(body) < int(length[1]):
        body += caller.recv(65536)
    behind.sendall(head + b"\r\n\r\n" + body)
    return b"".join(iter(lambda: behind.recv(65536), b""))


def test_submit_whose_answer_is_lost_is_asked_again(server: Server, tmp_path: Path) -> None:
    """Through a door that breaks the first connection after the request: still one run."""
    path = str(tmp_path / "door")

    def serve(door: socket.socket) -> None:
        for answers in (False, True):
            caller, _ = door.accept()
            with caller, socket.socket(socket.AF_UNIX) as behind:
                behind.connect(server.socket)
                answer = forward(caller, behind)
                if answers:
                    caller.sendall(answer)

    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        thread = threading.Thread(target=serve, args=[door], daemon=True)
        thread.start()
        done = server.run("submit", "--socket", path, "--tag", "lost-answer", "--", "true")
        thread.join(PATIENCE_S)
    assert done.returncode == 0
    found = [row[0] for row in lines(server.output("list", "--tag", "lost-answer"))]
    assert found == [done.stdout.decode().strip()]
