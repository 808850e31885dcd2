"""Who may come in through the door of Socket.IO, and how long a token lasts."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from trio_websocket import ConnectionClosed

from supervisor.access.claims import full_claims
from supervisor.config.authtable import AuthSettings
from supervisor.config.settings import WebLimits
from supervisor.model import Actor
from supervisor.wire import TokenRequest
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
from tests.web.served import TOKEN, OpenSite, Site, until
from web.socketio import engineio, runevents

ADMIN = full_claims(Actor("user", "admin"))
ORIGIN = "https://dash.example"


async def test_who_does_not_connect_in_time_is_let_go(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runevents, "HELLO_WAIT_S", 0.1)
    client = Polling(site)
    await client.open("x")
    assert await client.rest() == ["1"]


@pytest.mark.parametrize("packet", ["4", "4x", "41", '42["run-event",{}]', "43[]"])
async def test_who_does_not_connect_first_is_let_go(site: Site, packet: str) -> None:
    client = Polling(site)
    await client.open("x")
    await client.say(packet)
    assert await client.rest() == ["1"]


@pytest.mark.parametrize(
    ("auth", "code", "word"),
    [
        ("", "unauthenticated", "token"),
        ('{"token": "wrong"}', "unauthenticated", "token"),
        ('{"token": 5}', "bad_value", "token"),
        ('{"token": "T", "from": "x"}', "bad_value", "from"),
        ('{"token": "T", "streams": ["x"]}', "bad_value", "stream"),
        ('{"token": "T", "streams": "x"}', "bad_value", "stream"),
        ('{"token": "T", "window": 0}', "bad_value", "window"),
        ('{"token": "T", "pid": "PID", "offset": "x"}', "bad_value", "offset"),
        ("[]", "bad_value", "object"),
        ('{"token": "T"', "bad_request", "JSON"),
    ],
)
async def test_who_is_not_let_in_is_told_why(site: Site, auth: str, code: str, word: str) -> None:
    run_id = await site.shell("echo x")
    pid = (await Polling.connect(await opened(site, run_id), token=TOKEN))["pid"]
    client = await opened(site, run_id)
    await client.say("40" + auth.replace('"T"', f'"{TOKEN}"').replace("PID", pid))
    (answer,) = await client.poll()
    assert answer.startswith('44{"message":"')
    assert f'"data":{{"code":"{code}"}}' in answer
    assert word in answer


async def test_there_is_no_other_namespace(site: Site) -> None:
    client = await opened(site, await site.shell("echo x"))
    await client.say(f'40/admin,{{"token":"{TOKEN}"}}')
    (answer,) = await client.poll()
    assert answer.startswith("44/admin,{")


@pytest.mark.parametrize("run_id", [None, "nothing", "no/id"])
async def test_there_has_to_be_such_a_run(site: Site, run_id: str | None) -> None:
    client = Polling(site)
    await client.open(run_id)
    answer = await client.connect(token=TOKEN)
    assert answer["refused"]
    assert answer["data"]["code"] == ("bad_value" if run_id is None else "no_such_run")


async def test_a_token_in_auth_counts_more_than_one_elsewhere(site: Site) -> None:
    run_id = await site.shell("echo x")
    client = Polling(site, Authorization=f"Bearer {TOKEN}")
    await client.open(run_id, token=TOKEN)
    assert (await client.connect(token="wrong"))["refused"]
    for headers, query in (({"Authorization": f"Bearer {TOKEN}"}, {}), ({}, {"token": TOKEN})):
        client = Polling(site, **headers)
        await client.open(run_id, **query)
        assert not (await client.connect())["refused"]


async def test_tokens_in_addresses_can_be_switched_off(open_site: OpenSite) -> None:
    async with open_site(auth_settings=AuthSettings(query_token=False)) as site:
        run_id = await site.shell("echo x")
        client = Polling(site)
        await client.open(run_id, token=TOKEN)
        assert (await client.connect())["refused"]
        assert not (await Polling.connect(await opened(site, run_id), token=TOKEN))["refused"]


async def test_a_ticket_opens_its_run_once(site: Site) -> None:
    run_id = await site.shell("echo x")
    ticket = (await site.http.post("/tickets", json={"run": run_id})).json()["ticket"]
    other = await opened(site, await site.shell("echo y"))
    assert (await other.connect(token=ticket))["refused"]
    ticket = (await site.http.post("/tickets", json={"run": run_id})).json()["ticket"]
    assert not (await Polling.connect(await opened(site, run_id), token=ticket))["refused"]
    assert (await Polling.connect(await opened(site, run_id), token=ticket))["refused"]


async def test_a_stream_ends_with_its_token_unless_a_new_one_came(site: Site) -> None:
    run_id = await site.shell("echo x; sleep 60")
    one, two = [await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN) for _ in range(2)]
    client = await watching(site, run_id, token=one.token)
    renewal = f'42["run-event",{{"type":"auth","token":"{two.token}"}}]'
    await client.say(renewal)
    await site.tokens.revoke(one.jti, ADMIN)
    await client.say('427["run-event",{"type":"pong"}]')
    packets: list[str] = []
    while "437[]" not in packets:
        packets += await client.poll()
    await site.tokens.revoke(two.jti, ADMIN)
    *_, error, disconnect, close = await client.rest()
    assert told([error])[0]["code"] == "unauthenticated"
    assert (disconnect, close) == ("41", "1")


@pytest.mark.parametrize("expires", [True, False])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_stream_ends_when_its_token_does_and_says_so(
    site: Site, transport: str, *, expires: bool
) -> None:
    run_id = await site.shell("echo x; sleep 60")
    wish = TokenRequest(scope="runs:read", lifetime=3 if expires else "1h")
    issued = await site.tokens.issue(wish, ADMIN)
    async with listening(site, run_id, issued.token, transport) as next_packet:
        packet = await next_packet()
        while told([packet])[-1]["type"] != "stdout":
            packet = await next_packet()
        if not expires:
            await site.tokens.revoke(issued.jti, ADMIN)
        (error,) = told([await next_packet()])
        assert (error["type"], error["code"]) == ("error", "unauthenticated")
        assert "expired or was revoked" in error["message"]
        assert await next_packet() == "41"
        if transport == "polling":
            assert await next_packet() == "1"
    await until(lambda: sessions(site).count == 0)


@asynccontextmanager
async def listening(
    site: Site, run_id: str, token: str, transport: str
) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """A client that was let in, as a function that gives its next packet."""
    if transport == "polling":
        client = await watching(site, run_id, token=token)
        yield client.next
        return
    async with web_socket(site, runId=run_id) as socket:
        await heard(socket)
        await socket.send_message(f'40{{"token":"{token}"}}')
        await heard(socket)
        yield functools.partial(heard, socket)


async def test_a_revoked_token_ends_a_session_that_nobody_polls(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engineio, "LAST_WORDS_S", 0.1)
    run_id = await site.shell("seq 1000000; sleep 60")
    issued = await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)
    client = await watching(site, run_id, token=issued.token)
    await site.tokens.revoke(issued.jti, ADMIN)
    await until(lambda: sessions(site).count == 0)
    assert (await client.ask()).status_code == 400


async def test_a_session_is_gone_soon_after_it_was_opened_for_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engineio, "LAST_WORDS_S", 0.1)
    monkeypatch.setattr(runevents, "HELLO_WAIT_S", 0.1)
    client = Polling(site)
    await client.open("x")
    await until(lambda: sessions(site).count == 0)
    assert (await client.ask()).status_code == 400


async def test_the_name_of_a_session_is_of_no_use_without_the_token_it_began_with(
    site: Site,
) -> None:
    run_id = await site.shell("echo x; sleep 60")
    header = {"Authorization": f"Bearer {TOKEN}"}
    by_header, by_address = Polling(site, **header), Polling(site)
    await by_header.open(run_id)
    await by_address.open(run_id, token=TOKEN)
    for owner in (by_header, by_address):
        thief = Polling(site)
        for token in ({}, {"token": "stolen"}, {"token": ""}):
            thief.query = {"EIO": "4", "transport": "polling", "sid": owner.query["sid"], **token}
            for headers in ({}, {"Authorization": "Bearer stolen"}):
                thief.headers = headers
                assert (await thief.ask()).status_code == 400
                assert (await thief.post("41")).status_code == 400
        with pytest.raises(Refused) as refused:
            async with web_socket(site, sid=owner.query["sid"]):
                pass
        assert refused.value.status == 400
        assert not (await owner.connect())["refused"]
    async with web_socket(site, sid=by_address.query["sid"], token=TOKEN) as socket:
        await socket.send_message("2probe")
        assert await heard(socket) == "3probe"


async def test_no_token_gets_into_the_log(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    # What says too little is over soon, at any moment of what follows.
    monkeypatch.setattr(engineio, "LAST_WORDS_S", 0.1)
    monkeypatch.setattr(runevents, "END_WAIT_S", 0.1)
    run_id = await site.shell("echo x")
    issued = (await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)).token
    ticket = (await site.http.post("/tickets", json={"run": run_id})).json()["ticket"]
    secrets = [TOKEN, issued, ticket, "wrong-token"]
    for secret in secrets:
        for way in ("header", "address", "auth"):
            header = {"Authorization": f"Bearer {secret}"} if way == "header" else {}
            query = {"token": secret} if way == "address" else {}
            client = Polling(site, **header)
            await client.open(run_id, **query)
            auth = {"token": secret} if way == "auth" else {}
            await client.post("40" + json.dumps(auth))
            await client.ask()
            await client.post(f'42["run-event",{{"type":"auth","token":"{secret}"}}]')
            await client.post('42["run-event",{"type":"auth","tok')
            await client.post(secret)
            async with web_socket(site, runId=run_id, token=secret) as socket:
                with suppress(ConnectionClosed):
                    await socket.send_message(f'40{{"token":"{secret}"}}')
                    await socket.send_message(secret)
                await closed(socket)
    await until(lambda: sessions(site).count == 0)
    server = [r for r in caplog.records if r.name.partition(".")[0] not in {"httpx", "httpcore"}]
    lines = [logging.Formatter().format(record) for record in server]
    assert any("/runs/" in line for line in lines)
    assert [line for line in lines if any(secret in line for secret in secrets)] == []


async def test_one_address_can_have_only_so_many_sessions(open_site: OpenSite) -> None:
    async with open_site(limits=WebLimits(max_connections_per_address=4)) as site:
        first = Polling(site)
        await first.open("x")
        for _ in range(3):
            del first.query["sid"]
            await first.open("x")
        last = dict(first.query)
        del first.query["sid"]
        refused = await first.ask()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_connections")
        assert int(refused.headers["retry-after"]) > 0
        first.query = last
        await first.say("1")
        await until(lambda: sessions(site).count == 3)
        del first.query["sid"]
        await first.open("x")


async def test_pages_of_other_sites_stay_out(site: Site) -> None:
    client = Polling(site, Origin=ORIGIN)
    assert (await client.ask()).status_code == 403
    for relation, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200)):
        image = Polling(site, **{"Sec-Fetch-Site": relation})
        assert (await image.ask()).status_code == status
    own = Polling(site, Origin=str(site.http.base_url).rstrip("/"))
    await own.open("x")
    own.headers["Origin"] = ORIGIN
    assert (await own.post("41")).status_code == 403
    with pytest.raises(Refused) as refused:
        async with web_socket(site, origin=ORIGIN):
            pass
    assert refused.value.status == 403


async def test_pages_of_sites_that_are_named_may_come_in(open_site: OpenSite) -> None:
    async with open_site(cors_origins=(ORIGIN,)) as site:
        client = Polling(site, Origin="HTTPS://Dash.example")
        answer = await client.ask()
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "HTTPS://Dash.example"
        async with web_socket(site, origin=ORIGIN):
            pass
        assert (await Polling(site, Origin="https://evil.example").ask()).status_code == 403
        client = Polling(site, **{"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"})
        assert (await client.ask()).status_code == 200
