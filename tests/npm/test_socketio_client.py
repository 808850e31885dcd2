"""A front end with the stock socket.io-client 4 follows a run, whatever the transport."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from supervisor.access.claims import full_claims
from supervisor.model import Actor
from supervisor.wire import TokenRequest
from tests.npm.cuttable import Proxy, open_proxy
from tests.npm.node import Client, Happening, client, output
from tests.patience import PATIENCE_S
from tests.web.polled import sessions
from tests.web.served import TOKEN, Site, running_site, until
from web.socketio import engineio
from web.streams import conversation

pytestmark = pytest.mark.npm

Options = dict[str, Any]

MODES: dict[str, Options] = {
    "default": {},
    "websocket": {"transports": ["websocket"]},
    "polling": {"transports": ["polling"]},
}
every_mode = pytest.mark.parametrize("options", MODES.values(), ids=MODES)

ADMIN = full_claims(Actor("user", "admin"))
SLOWLY = "for i in $(seq 300); do echo line $i; sleep 0.01; done"
LINES = "".join(f"line {number}\n" for number in range(1, 301))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may take its time to fetch what is said to it last."""
    monkeypatch.setattr(engineio, "LAST_WORDS_S", PATIENCE_S)


async def cut_off(viewer: Client, proxy: Proxy) -> None:
    """Cut connections until the client notices: between two polls it does not need any."""

    async def cut() -> None:
        while True:
            proxy.cut()
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cut)
        await viewer.until_event("disconnect")
        nursery.cancel_scope.cancel()


def until_there(gate: Path) -> str:
    """Shell: wait for a file, which a test touches when the run is to go on."""
    return f"until [ -e {gate} ]; do sleep 0.02; done"


def last_line(viewer: Client) -> int:
    """The number of the last whole line that it was told of; 0 if there was none."""
    text = "".join(m["data"] for m in viewer.messages() if m["type"] == "stdout")
    *_, last = ["line 0", *text.split("\n")[:-1]]
    return int(last.removeprefix("line "))


def statuses(messages: list[Happening]) -> list[Happening]:
    return [message for message in messages if message["type"] == "status"]


@every_mode
async def test_it_gets_the_backlog_then_what_is_live_and_then_the_end(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options
) -> None:
    monkeypatch.setattr(conversation, "END_WAIT_S", 0.2)
    gates = [tmp_path / name for name in ("begun", "first", "second")]
    begun, first, second = gates
    between = [f"; {until_there(gate)}; " for gate in gates]
    run_id = await site.shell(
        f"echo begin{between[0]}echo oops >&2{between[1]}"
        f"printf 'gr\\303\\274n\\n'{between[2]}echo end"
    )
    await site.running(run_id, written=6)
    begun.touch()
    await site.running(run_id, written=11)
    async with client(site.address[1], run_id, TOKEN, **options) as viewer:
        assert not (await viewer.until_event("connect"))["recovered"]
        await viewer.until_text("oops")
        first.touch()
        await viewer.until_text("grün")
        second.touch()
        assert (await viewer.until_message("end"))["run"]["status"] == "succeeded"
        assert (await viewer.until_event("disconnect"))["reason"] == "io server disconnect"
        messages = viewer.messages()
        assert output(messages) == "begin\noops\ngrün\nend\n"
        assert [m["type"] for m in messages if m.get("data") == "oops\n"] == ["stderr"]
        assert statuses(messages)[0]["data"] == "queued"
        assert [status["data"] for status in statuses(messages)[-2:]] == ["running", "succeeded"]


async def test_by_default_it_begins_with_polling_and_goes_on_with_a_websocket(
    site: Site, tmp_path: Path
) -> None:
    run_id = await site.shell(f"{until_there(tmp_path / 'gate')}; seq 1000")
    async with client(site.address[1], run_id, TOKEN) as viewer:
        await viewer.until(lambda happening: happening.get("transport") == "websocket")
        (tmp_path / "gate").touch()
        await viewer.until_message("end")
        assert output(viewer.messages()).splitlines() == [str(n) for n in range(1, 1001)]


@pytest.mark.parametrize("token", ["wrong", None])
@every_mode
async def test_a_wrong_token_is_a_connect_error(
    site: Site, options: Options, token: str | None
) -> None:
    run_id = await site.shell("echo x")
    async with client(site.address[1], run_id, token, **options) as viewer:
        error = await viewer.until_event("connect_error")
        assert error["data"] == {"code": "unauthenticated"}
        assert "token" in error["message"]
        assert not error["active"], "it would try again"


@every_mode
async def test_a_token_for_another_run_finds_none(site: Site, options: Options) -> None:
    run_id, other = await site.shell("echo x"), await site.shell("echo y")
    issued = await site.tokens.issue(TokenRequest(scope="runs:read", runs=(other,)), ADMIN)
    async with client(site.address[1], run_id, issued.token, **options) as viewer:
        assert (await viewer.until_event("connect_error"))["data"] == {"code": "no_such_run"}
    async with client(site.address[1], other, issued.token, **options) as viewer:
        await viewer.until_message("end")


@pytest.mark.parametrize("where", ["query", "header"])
@every_mode
async def test_a_token_may_come_by_other_ways(site: Site, options: Options, where: str) -> None:
    run_id = await site.shell("echo x")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    way: Options = {"query": {"token": TOKEN}} if where == "query" else {"extraHeaders": headers}
    async with client(site.address[1], run_id, None, **options, **way) as viewer:
        await viewer.until_message("end")


@every_mode
async def test_a_stream_ends_with_its_token(site: Site, options: Options) -> None:
    run_id = await site.shell("echo ready; sleep 60")
    issued = await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)
    async with client(site.address[1], run_id, issued.token, **options) as viewer:
        await viewer.until_message("stdout")
        await site.tokens.revoke(issued.jti, ADMIN)
        assert (await viewer.until_message("error"))["code"] == "unauthenticated"
        assert (await viewer.until_event("disconnect"))["reason"] == "io server disconnect"


@every_mode
async def test_one_that_was_cut_off_goes_on_where_it_was(
    site: Site, tmp_path: Path, options: Options
) -> None:
    run_id = await site.shell(f"{SLOWLY}; {until_there(tmp_path / 'gate')}")
    async with open_proxy() as proxy:
        proxy.target = site.address
        async with client(proxy.port, run_id, TOKEN, **options) as viewer:
            for number in (30, 60, 90, 120, 150):
                # One that is slow may be told of several of these at once.
                while last_line(viewer) < number:
                    await viewer.until_message("stdout")
                await cut_off(viewer, proxy)
                assert (await viewer.until_event("connect"))["recovered"]
            (tmp_path / "gate").touch()
            await viewer.until_message("end")
            assert output(viewer.messages()) == LINES


@every_mode
async def test_one_that_says_where_it_was_gets_the_rest(site: Site, options: Options) -> None:
    run_id = await site.shell("seq 100")
    await site.ended(run_id)
    whole = "".join(f"{number}\n" for number in range(1, 101))
    where: Options = {"from": 50, "seq": 3}
    ways: tuple[Options, ...] = ({"auth": where}, {"query": where})
    for way in ways:
        async with client(site.address[1], run_id, TOKEN, **options, **way) as viewer:
            await viewer.until_message("end")
            messages = viewer.messages()
            assert messages[0]["offset"] == 50
            assert "".join(m["data"] for m in messages if m["type"] == "stdout") == whole[50:]
            assert [status["seq"] for status in statuses(messages)] == [4]


@every_mode
async def test_it_finds_a_server_that_was_restarted_and_goes_on(
    tmp_path: Path, options: Options
) -> None:
    async with open_proxy() as proxy, AsyncExitStack() as stack:
        async with running_site(tmp_path) as site:
            proxy.target = site.address
            run_id = await site.shell("seq 1000; sleep 60")
            viewing = client(proxy.port, run_id, TOKEN, **options)
            viewer = await stack.enter_async_context(viewing)
            await viewer.until_text("1000\n")
        proxy.target = None
        await viewer.until_event("disconnect")
        async with running_site(tmp_path) as site:
            proxy.target = site.address
            assert (await viewer.until_event("connect"))["recovered"]
            await viewer.until_message("end")
            assert len(output(viewer.messages()).split()) == 1000


@every_mode
async def test_a_client_that_stops_reading_only_falls_behind(
    site: Site, tmp_path: Path, options: Options
) -> None:
    # More than all buffers on the way hold.
    run_id = await site.shell(f"echo ready; {until_there(tmp_path / 'gate')}; seq 3000000")
    async with client(site.address[1], run_id, TOKEN, **options) as viewer:
        await viewer.until_message("stdout")
        viewer.program.process.send_signal(signal.SIGSTOP)
        (tmp_path / "gate").touch()
        ended = await site.ended(run_id)
        assert ended["status"] == "succeeded"
        viewer.program.process.send_signal(signal.SIGCONT)
        await viewer.until_message("end")
        assert len(output(viewer.messages())) == ended["log"]["size"] == 6 + 22_888_896


@every_mode
async def test_twenty_clients_get_everything(site: Site, options: Options) -> None:
    run_id = await site.shell(SLOWLY)
    async with client(
        site.address[1], run_id, TOKEN, count=20, forceNew=True, **options
    ) as viewers:
        for _ in range(20):
            await viewers.until_message("end")
        for number in range(20):
            assert output(viewers.messages(number)) == LINES


@every_mode
async def test_it_can_seek_and_is_told_that_it_was_heard(site: Site, options: Options) -> None:
    run_id = await site.shell("seq 100; sleep 60")
    await site.running(run_id, written=292)
    async with client(site.address[1], run_id, TOKEN, **options) as viewer:
        await viewer.until_text("100\n")
        await viewer.do(emit={"type": "seek", "from": 288})
        assert (await viewer.until_message("seek"))["from"] == 288
        assert (await viewer.until_message("stdout"))["data"] == "100\n"
        assert viewer.count("ack") == 1


@every_mode
async def test_what_makes_no_sense_ends_it(site: Site, options: Options) -> None:
    run_id = await site.shell("echo ready; sleep 60")
    async with client(site.address[1], run_id, TOKEN, **options) as viewer:
        await viewer.until_message("stdout")
        await viewer.do(emit={"type": "nonsense"})
        assert (await viewer.until_message("error"))["code"] == "bad_request"
        assert (await viewer.until_event("disconnect"))["reason"] == "io server disconnect"


@pytest.mark.parametrize("politely", [True, False])
@every_mode
async def test_nothing_is_left_of_a_client_that_went(
    site: Site, monkeypatch: pytest.MonkeyPatch, options: Options, politely: bool
) -> None:
    # One that dies between two polls is found out by the next ping.
    monkeypatch.setattr(engineio, "PING_INTERVAL_S", 1)
    monkeypatch.setattr(engineio, "PING_TIMEOUT_S", 5)
    run_id = await site.shell("echo ready; sleep 60")
    async with client(site.address[1], run_id, TOKEN, **options) as viewer:
        await viewer.until_message("stdout")
        assert sessions(site).count == 1
        if politely:
            await viewer.do(disconnect=True)
            await until(lambda: sessions(site).count == 0)
    await until(lambda: sessions(site).count == 0)
