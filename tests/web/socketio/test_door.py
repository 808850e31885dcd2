"""The door of Socket.IO, packet by packet; what its stock client makes of it is in tests/npm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed

from supervisor.model import Stream
from tests.gate import Gates
from tests.patience import PATIENCE_S
from tests.web.polled import (
    Polling,
    Refused,
    closed,
    heard,
    opened,
    sessions,
    told,
    watching,
    web_socket,
)
from tests.web.scene import output
from tests.web.served import TOKEN, OpenSite, Site, until
from tests.web.watching import faucet
from web.socketio import door as socketio
from web.socketio.engineio import Session


def only(site: Site) -> Session:
    """The one session that there is."""
    (session,) = sessions(site)._sessions.values()
    return session


# --- polling -------------------------------------------------------------------------------------


async def test_a_polling_client_is_told_everything_and_then_let_go(
    site: Site, tmp_path: Path
) -> None:
    async with faucet(site, tmp_path) as tap:
        client = Polling(site)
        terms = await client.open(tap.run_id)
        connected = await client.connect(token=TOKEN)
        await tap.write(Stream.STDOUT, b"out\n")
        await tap.write(Stream.STDERR, b"err\n")
        await tap.end()
    assert terms["upgrades"] == ["websocket"]
    assert (terms["pingInterval"], terms["pingTimeout"], terms["maxPayload"]) == (
        25_000,
        20_000,
        65_536,
    )
    assert connected["sid"] != terms["sid"]
    written = output(await client.told_until("end"))
    assert [message["data"] for message in written] == ["out\n", "err\n"]
    await client.say("1")
    assert (await client.ask()).status_code == 400
    await until(lambda: sessions(site).count == 0)


async def test_who_stays_after_the_end_is_told_to_go(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.streams.conversation.END_WAIT_S", 0.1)
    run_id = await site.shell("echo x")
    await site.ended(run_id)
    client = await watching(site, run_id)
    assert (await client.rest())[-2:] == ["41", "1"]
    await until(lambda: sessions(site).count == 0)


async def test_a_post_never_creates_a_run(site: Site) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    shell = {"shell": "true"}
    client = Polling(site, **headers)
    assert (await client.request("POST", json=shell)).status_code == 404
    assert (await client.request("POST", json=shell, params=client.query)).status_code == 400
    await client.open(None)
    assert (await client.request("POST", json=shell, params=client.query)).status_code == 400
    assert (await site.http.get("/runs")).json()["runs"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"EIO": "3"},
        {"EIO": "5"},
        {"transport": "websocket"},
        {"transport": "webtransport"},
        {"sid": "AAAAAAAAAAAAAAAAAAAA"},
    ],
)
async def test_what_is_not_spoken_here_is_refused(site: Site, query: dict[str, str]) -> None:
    client = Polling(site)
    answer = await client.ask(**query)
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"
    assert sessions(site).count == 0


async def test_what_front_ends_put_into_the_address_does_not_matter(site: Site) -> None:
    run_id = await site.shell("echo x")
    client = Polling(site)
    await client.open(run_id, t="abc", b64="1", user="ann")
    assert not (await client.connect(token=TOKEN, user="ann"))["refused"]


@pytest.mark.parametrize("body", ["", "x", "bAAAA", "2probe", "4a\x1e", "0{}"])
async def test_a_session_ends_with_a_body_that_makes_no_sense(site: Site, body: str) -> None:
    client = Polling(site)
    await client.open("x")
    assert (await client.post(body)).status_code == 400
    await until(lambda: sessions(site).count == 0)


async def test_a_session_ends_with_a_body_that_is_too_long(site: Site) -> None:
    client = Polling(site)
    await client.open("x")
    answer = await client.post("4" + "x" * 65_536)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    await until(lambda: sessions(site).count == 0)


async def test_a_body_that_does_not_say_how_long_it_is_is_bounded_as_well(site: Site) -> None:
    client = Polling(site)
    await client.open("x")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"4"
        for _ in range(65):
            yield b"x" * 1024

    answer = await client.request("POST", params=client.query, content=chunks())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    await until(lambda: sessions(site).count == 0)


async def test_a_session_ends_with_a_second_poll_at_once(site: Site) -> None:
    client = Polling(site)
    await client.open("x")
    statuses: list[int] = []

    async def poll() -> None:
        statuses.append((await client.ask()).status_code)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            nursery.start_soon(poll)
    assert sorted(statuses) == [200, 400]
    await until(lambda: sessions(site).count == 0)


async def test_a_client_that_hangs_up_while_it_polls_is_gone(site: Site) -> None:
    run_id = await site.shell("echo x; sleep 60")
    client = await watching(site, run_id)
    await client.told_until("stdout")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.poll)
        await until(lambda: only(site)._polled)
        nursery.cancel_scope.cancel()
    await until(lambda: sessions(site).count == 0)


async def test_a_client_that_takes_nothing_holds_up_nobody(site: Site, gate: Gates) -> None:
    door = gate("g")
    run_id = await site.shell(f"{door.wait}; seq 1000000")
    client = await watching(site, run_id)
    session = only(site)
    await door.open()
    ended = await site.ended(run_id)
    assert ended["status"] == "succeeded"
    # One batch, and the message that made it one.
    assert sum(len(packet.data) for packet in session._to_say) < 2 * 256 * 1024
    texts = [message["data"] for message in output(await client.told_until("end"))]
    assert "".join(texts) == "".join(f"{number}\n" for number in range(1, 1_000_001))


# --- WebSockets ----------------------------------------------------------------------------------


async def test_a_polling_client_changes_to_a_websocket(site: Site) -> None:
    run_id = await site.shell("echo one; sleep 60")
    client = await watching(site, run_id)
    await client.told_until("stdout")
    polls: list[list[str]] = []

    async def poll() -> None:
        polls.append(await client.poll())

    async with web_socket(site, sid=client.query["sid"]) as socket:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await socket.send_message("2probe")
            assert await heard(socket) == "3probe"
        assert polls == [["6"]]
        await socket.send_message("5")
        await socket.send_message('421["run-event",{"type":"seek","from":0}]')
        assert await heard(socket) == "431[]"
        assert [told([await heard(socket)])[0]["type"] for _ in range(2)] == ["seek", "stdout"]
        assert (await client.ask()).status_code == 400
        assert (await client.post("41")).status_code == 400
        await socket.send_message("41")
        await until(lambda: sessions(site).count == 0)


async def test_a_websocket_that_does_not_work_out_leaves_polling_as_it_was(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await site.shell("echo one; sleep 60")
    client = await watching(site, run_id)
    for words in (("nonsense",), ("2probe", "nonsense"), ("2probe",), ()):
        if "nonsense" not in words:  # and so it is waited for more
            monkeypatch.setattr(socketio, "_UPGRADE_WAIT_S", 0.2)
        async with web_socket(site, sid=client.query["sid"]) as socket:
            with suppress(ConnectionClosed):
                for word in words:
                    await socket.send_message(word)
            await closed(socket)
    await client.told_until("stdout")


async def test_only_one_websocket_may_be_tried_at_once(site: Site) -> None:
    client = await opened(site, "x")
    async with web_socket(site, sid=client.query["sid"]):
        with pytest.raises(Refused) as refused:
            async with web_socket(site, sid=client.query["sid"]):
                pass
        assert refused.value.status == 400


async def test_a_websocket_may_be_all_there_is(site: Site) -> None:
    run_id = await site.shell("echo x; sleep 60")
    async with web_socket(site, runId=run_id) as socket:
        assert (await heard(socket)).startswith('0{"sid":')
        await socket.send_message(f'40{{"token":"{TOKEN}"}}')
        assert (await heard(socket)).startswith('40{"sid":')
        assert told([await heard(socket)])[0]["data"] == "queued"
    await until(lambda: sessions(site).count == 0)


@pytest.mark.parametrize("nonsense", [b"\x04", "", "x", "2probe", "5"])
async def test_a_websocket_ends_with_what_makes_no_sense(site: Site, nonsense: str | bytes) -> None:
    async with web_socket(site) as socket:
        await heard(socket)
        await socket.send_message(nonsense)
        await closed(socket)
    await until(lambda: sessions(site).count == 0)


# --- the end of the server -----------------------------------------------------------------------


async def test_who_is_there_when_the_server_ends_is_to_come_again(open_site: OpenSite) -> None:
    async with open_site() as site:
        client = await watching(site, await site.shell("echo x; sleep 60"))
        await client.told_until("stdout")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear_last, client)
            await until(lambda: only(site)._polled)
            site.shutdown.begin()


async def hear_last(client: Polling) -> None:
    """Its next request finds nobody, or the CLOSE that waits for it: either way it comes again."""
    *_, error = await client.poll()
    assert told([error])[0]["code"] == "shutting_down"


async def test_a_server_ends_without_waiting_for_who_has_gone(
    open_site: OpenSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.socketio.engineio.LAST_WORDS_S", 1000)
    with trio.fail_after(PATIENCE_S):
        async with open_site() as site:
            await watching(site, await site.shell("sleep 60"))
            await Polling(site).open("x")
            there = sessions(site)
            assert there.count == 2
    assert there.count == 0


async def test_it_is_found_under_a_base_path_too(open_site: OpenSite) -> None:
    async with open_site(base_path="/runwire") as site:
        run_id = await site.shell("echo x")
        client = await watching(site, run_id)
        assert told(await client.poll())[0]["data"] == "queued"
