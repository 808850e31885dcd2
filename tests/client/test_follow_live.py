"""Following runs at a real server, over every door, with cuts, slow readers and ending tokens."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from supervisor.access.claims import full_claims
from supervisor.client.address import Address, socket_address, url_address
from supervisor.client.follow import WINDOW_BYTES, Wanted, follow
from supervisor.client.tokentext import read_token
from supervisor.client.updates import End, Update
from supervisor.errors import BadRequest, Forbidden, NoSuchRun, Unauthenticated
from supervisor.frames import Output
from supervisor.messages import StatusMessage
from supervisor.model import Actor, Status, Stream
from supervisor.testing import wait_until
from supervisor.wire import TokenRequest
from tests.cli.conftest import Server, serving
from tests.cutting import Proxy, open_proxy
from tests.web.served import TOKEN, Site, running_site

ADMIN = full_claims(Actor("user", "admin"))
WAIT_S = 180


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server like any other."""
    with trio.fail_after(WAIT_S):
        async with running_site(tmp_path) as opened:
            yield opened


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A run that does `read x < GATE` waits for `open_gate`."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


async def open_gate(gate: Path) -> None:
    async with await trio.open_file(gate, "w") as fifo:
        await fifo.write("go\n")


def cutting(site: Site, limits: Iterable[int] = ()) -> AbstractAsyncContextManager[Proxy]:
    return open_proxy(partial(trio.open_tcp_stream, *site.address), limits)


def through(proxy: Proxy, token: str | None = TOKEN) -> Address:
    return url_address(f"http://127.0.0.1:{proxy.port}", token=token)


async def token_for(site: Site, **wishes: Any) -> str:
    return (await site.tokens.issue(TokenRequest(scope="runs:read", **wishes), ADMIN)).token


def expired(token: str) -> bool:
    return (read_token(token).until or 0) < time.time()


async def collect(address: Address, run_id: str, wanted: Wanted | None = None) -> list[Update]:
    async with follow(address, run_id, wanted or Wanted()) as updates:
        return [update async for update in updates]


def written(updates: Iterable[Update], stream: Stream | None = None) -> bytes:
    return b"".join(
        update.data
        for update in updates
        if isinstance(update, Output) and stream in (None, update.stream)
    )


# --- bytes --------------------------------------------------------------------------------------

NOISE = (
    "import sys, random; r = random.Random(1); out = r.randbytes(3_000_000);"
    "err = r.randbytes(500_000);"
    "[(sys.stdout.buffer.write(out[i * 3000:i * 3000 + 3000]), sys.stdout.buffer.flush(),"
    " sys.stderr.buffer.write(err[i * 500:i * 500 + 500])) for i in range(1000)]"
)


async def test_over_tcp_and_the_unix_socket_every_byte_comes_once_whatever_is_cut(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is written, and once more when it all lies there."""
    monkeypatch.setattr("supervisor.client.follow._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("supervisor.client.follow._LONGEST_PAUSE_S", 0.1)
    chance = random.Random(1)
    expected = random.Random(1)
    out, err = expected.randbytes(3_000_000), expected.randbytes(500_000)
    run_id = await site.shell(f"exec python3 -c '{NOISE}'")
    dials = (
        partial(trio.open_tcp_stream, *site.address),
        partial(trio.open_unix_socket, site.socket),
    )
    for dial in dials:
        limits = [chance.randrange(50, 300_000) for _ in range(10)]
        async with open_proxy(dial, limits) as proxy:
            updates = await collect(through(proxy), run_id)
            assert proxy.connections > 8
        assert written(updates, Stream.STDOUT) == out
        assert written(updates, Stream.STDERR) == err
        seqs = [update.seq for update in updates if isinstance(update, StatusMessage)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert isinstance(updates[-1], End)
        assert (updates[-1].offset, updates[-1].run.status) == (3_500_000, Status.SUCCEEDED)
    updates = await collect(socket_address(str(site.socket)), run_id, Wanted(stream="stderr"))
    assert written(updates) == err


async def test_it_begins_where_it_is_wanted(site: Site) -> None:
    run_id = await site.shell("printf 'one\\ntwo\\nthree\\n'")
    await site.ended(run_id)
    address = socket_address(str(site.socket))
    for start, expected in ((0, b"one\ntwo\nthree\n"), (5, b"wo\nthree\n"), (-6, b"three\n")):
        assert written(await collect(address, run_id, Wanted(start=start))) == expected
    with pytest.raises(BadRequest, match="ends at 14"):
        await collect(address, run_id, Wanted(start=15))


async def test_a_slow_consumer_is_not_run_ahead_of(site: Site) -> None:
    """The run ends in its own time; what was not taken waits at the server."""
    size = 8 * WINDOW_BYTES
    run_id = await site.shell(f"head -c {size} /dev/zero")
    async with cutting(site) as proxy:
        async with follow(through(proxy), run_id) as updates:
            first = [await anext(updates)]
            assert (await site.ended(run_id))["log"]["size"] == size
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert proxy.passed < WINDOW_BYTES + 64 * 1024
            rest = [update async for update in updates]
        assert proxy.connections == 1
    assert len(written(first + rest)) == size


async def test_it_goes_on_where_it_was_when_the_server_was_killed(tmp_path: Path) -> None:
    """Twice in the middle of the bytes; a loop that is slow to ask does not matter."""
    expected = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    with trio.fail_after(WAIT_S), serving(Server(tmp_path)) as server:
        run_id = server.submit("--", "seq", "1000000")
        server.run("logs", "-f", "--from", "6888896", run_id)
        seen = b""
        kills = 0
        async with follow(socket_address(server.socket), run_id) as updates:
            async for update in updates:
                seen += written([update])
                if kills < 2 and len(seen) > 1_000_000 * (kills + 1):
                    kills += 1
                    server.stop(signal.SIGKILL)
                    await trio.to_thread.run_sync(server.start)
    assert kills == 2
    assert seen == expected


# --- tokens -------------------------------------------------------------------------------------


async def test_a_token_is_renewed_in_time_on_the_same_connection(site: Site, gate: Path) -> None:
    given: list[str] = []

    async def token() -> str:
        given.append(await token_for(site, lifetime="6s"))
        return given[-1]

    run_id = await site.shell(f"echo ready; read x < '{gate}'; echo done")
    async with cutting(site) as proxy, trio.open_nursery() as nursery:

        async def open_after_renewals() -> None:
            await wait_until(lambda: len(given) >= 2 and expired(given[0]))
            await open_gate(gate)

        nursery.start_soon(open_after_renewals)
        async with follow(through(proxy, None), run_id, token=token) as updates:
            assert written([update async for update in updates]) == b"ready\ndone\n"
        assert proxy.connections == 1


async def test_without_a_renewal_the_stream_ends_with_its_token(site: Site) -> None:
    token = await token_for(site, lifetime="2s")
    run_id = str((await site.http.post("/runs", json={"job": "sleeper"})).json()["id"])
    async with cutting(site) as proxy:
        with pytest.raises(Unauthenticated, match="expired"):
            await collect(through(proxy, token), run_id)


async def test_a_token_file_is_read_again_before_the_token_in_it_expires(
    site: Site, gate: Path, tmp_path: Path
) -> None:
    """As `--token-file` has it: somebody else puts a new one there."""
    file = tmp_path / "token"
    file.write_text(await token_for(site, lifetime="4s"))
    run_id = await site.shell(f"read x < '{gate}'; echo done")
    async with cutting(site) as proxy, trio.open_nursery() as nursery:
        url = through(proxy, None)
        address = Address(host=url.host, port=url.port, token_file=str(file))

        async def renew() -> None:
            await site.running(run_id)
            first = file.read_text()
            file.write_text(await token_for(site))
            await wait_until(lambda: expired(first))
            await open_gate(gate)

        nursery.start_soon(renew)
        assert written(await collect(address, run_id)) == b"done\n"
        assert proxy.connections == 1


async def test_a_revoked_token_is_replaced_and_nothing_is_missed(site: Site, gate: Path) -> None:
    first, second = [
        await site.tokens.issue(TokenRequest(scope="runs:read", sub=name), ADMIN)
        for name in ("first", "second")
    ]
    tokens = iter((first, second))

    async def token() -> str:
        return next(tokens).token

    run_id = await site.shell(f"echo ready; read x < '{gate}'; echo done")
    taken: list[Update] = []
    async with cutting(site) as proxy, trio.open_nursery() as nursery:

        async def revoke() -> None:
            await wait_until(lambda: written(taken) == b"ready\n")
            await site.tokens.revoke(first.jti, ADMIN)
            await wait_until(lambda: proxy.connections == 2)
            await open_gate(gate)

        nursery.start_soon(revoke)
        async with follow(through(proxy, None), run_id, token=token) as updates:
            async for update in updates:
                taken.append(update)  # noqa: PERF401 - the task above looks at it meanwhile
    assert written(taken) == b"ready\ndone\n"


@pytest.mark.parametrize(
    ("wishes", "error"),
    [({"runs": ("other-*",)}, NoSuchRun), ({"scope": "runs:submit"}, Forbidden)],
)
async def test_a_token_that_does_not_allow_it_is_refused(
    site: Site, wishes: dict[str, Any], error: type[Exception]
) -> None:
    run_id = await site.shell("echo hi")
    issued = await site.tokens.issue(TokenRequest(**{"scope": "runs:read", **wishes}), ADMIN)
    async with cutting(site) as proxy:
        with pytest.raises(error):
            await collect(through(proxy, issued.token), run_id)
        assert proxy.connections == 1


# --- the end of the server ----------------------------------------------------------------------


async def test_a_server_that_stops_tells_the_end_of_the_runs_it_stopped(site: Site) -> None:
    run_id = str((await site.http.post("/runs", json={"job": "sleeper"})).json()["id"])
    address = socket_address(str(site.socket))
    async with follow(address, run_id, patience_s=0) as updates:
        taken = [await anext(updates)]
        while written(taken) != b"ready\n":
            taken.append(await anext(updates))
        await site.supervisor.stop_all()
        site.shutdown.begin()
        *_, last = [update async for update in updates]
    assert isinstance(last, End)
    assert last.run.status is Status.CANCELLED


# --- runs that are not there --------------------------------------------------------------------


async def test_a_run_that_never_was_is_told_at_once(site: Site) -> None:
    with pytest.raises(NoSuchRun, match="never-was"):
        await collect(socket_address(str(site.socket)), "never-was")


@pytest.mark.parametrize("cut", [False, True])
async def test_a_run_that_is_deleted_meanwhile_is_told_as_gone(site: Site, *, cut: bool) -> None:
    """Never as an end, whether the connection holds or not."""
    run_id = await site.shell(f"head -c {4 * WINDOW_BYTES} /dev/zero")
    async with cutting(site) as proxy, follow(through(proxy), run_id) as updates:
        await anext(updates)
        await site.ended(run_id)
        assert (await site.http.delete(f"/runs/{run_id}")).status_code == 204
        if cut:
            proxy.cut()
        with pytest.raises(NoSuchRun):  # noqa: PT012 - what comes before it must be no end
            async for update in updates:
                assert not isinstance(update, End)
