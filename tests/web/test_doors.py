"""Every door that a token can come to: header, address, first message, ticket, Unix socket.

At each of them the same tokens are good, the same are refused, and what a token began ends with it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import msgspec
import pytest
import trio
import trio_websocket
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection

from supervisor.access.claims import full_claims
from supervisor.config.authtable import AuthSettings
from supervisor.model import Actor
from supervisor.wire import TokenRequest
from tests.patience import PATIENCE_S
from tests.web.auth.test_jwks import provider
from tests.web.keyring import jwk, key_file, key_set, sign
from tests.web.served import OpenSite, Site
from web.auth.keys import read_key

ADMIN = full_claims(Actor("user", "admin"))


def now_s() -> int:
    return int(datetime.now(UTC).timestamp())


async def token_for(site: Site, scope: str = "runs:read", **wishes: Any) -> str:
    return (await site.tokens.issue(TokenRequest(scope=scope, **wishes), ADMIN)).token


async def sleeper(site: Site) -> str:
    """A run that goes on."""
    run_id = str((await site.http.post("/runs", json={"job": "sleeper"})).json()["id"])
    await site.running(run_id, written=6)
    return run_id


async def ticket_for(site: Site, run_id: str, token: str | None = None) -> str:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = await site.http.post("/tickets", json={"run": run_id}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


class Refused(Exception):
    """The handshake was answered with another status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Viewer:
    """A client of a stream."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    async def say(self, **message: object) -> None:
        await self._socket.send_message(msgspec.json.encode(message).decode())

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message of a type."""
        while True:
            message: dict[str, Any] = msgspec.json.decode(await self._socket.get_message())
            if message["type"] == kind:
                return message

    async def closed(self) -> tuple[int, str]:
        """The code with which the server ends it, and what it said before."""
        said = ""
        try:
            while True:
                message = msgspec.json.decode(await self._socket.get_message())
                said = message["message"] if message["type"] == "error" else said
        except ConnectionClosed as closed:
            return code_of(closed), said


def code_of(closed: ConnectionClosed) -> int:
    return 1006 if closed.reason is None else closed.reason.code


@asynccontextmanager
async def watching(
    site: Site, path: str, *, header: str | None = None, unix: bool = False
) -> AsyncIterator[Viewer]:
    """A WebSocket to the site. Raises Refused."""
    headers = [] if header is None else [(b"Authorization", f"Bearer {header}".encode())]
    host, port = site.address
    with trio.fail_after(PATIENCE_S):
        stream: trio.SocketStream = (
            await trio.open_unix_socket(site.socket)
            if unix
            else await trio.open_tcp_stream(host, port)
        )
        try:
            async with stream, trio.open_nursery() as nursery:
                socket = await trio_websocket.wrap_client_stream(
                    nursery, stream, f"{host}:{port}", path, extra_headers=headers
                )
                async with socket:
                    yield Viewer(socket)
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            if isinstance(error, ConnectionRejected):
                raise Refused(error.status_code) from None
            raise


async def by_header(site: Site, run_id: str, token: str) -> int:
    return await _at_handshake(site, f"/runs/{run_id}/stream", header=token)


async def by_address(site: Site, run_id: str, token: str) -> int:
    return await _at_handshake(site, f"/runs?runId={run_id}&token={token}")


async def by_unix_socket(site: Site, run_id: str, token: str) -> int:
    return await _at_handshake(site, f"/runs/{run_id}/stream", header=token, unix=True)


async def by_first_message(site: Site, run_id: str, token: str) -> int:
    """The status that the close code stands for."""
    async with watching(site, f"/runs/{run_id}/stream") as viewer:
        await viewer.say(type="hello", token=token)
        try:
            await viewer.hear("stdout")
        except ConnectionClosed as closed:
            return code_of(closed) - 4000
    return 200


async def _at_handshake(site: Site, path: str, **how: Any) -> int:
    try:
        async with watching(site, path, **how) as viewer:
            await viewer.hear("stdout")
    except Refused as refused:
        return refused.status
    return 200


DOORS = (by_header, by_address, by_first_message, by_unix_socket)
every_door = pytest.mark.parametrize("door", DOORS)


@every_door
async def test_good_tokens_come_in(site: Site, door: Callable[..., Any]) -> None:
    run_id = await sleeper(site)
    wishes: tuple[dict[str, Any], ...] = ({}, {"jobs": ("sleep*",)}, {"runs": (run_id,)})
    for wish in wishes:
        assert await door(site, run_id, await token_for(site, **wish)) == 200
    assert await door(site, run_id, await ticket_for(site, run_id)) == 200


@every_door
async def test_bad_ones_do_not(site: Site, door: Callable[..., Any]) -> None:
    run_id = await sleeper(site)
    good = await token_for(site)
    claims = {"scope": "runs:read", "exp": now_s() + 60}
    unsigned = "eyJhbGciOiJub25lIn0." + good.split(".")[1] + ".x"
    for bad in ("x", good[:-8] + "AAAAAAAA", unsigned, sign("HS256", claims), "x" * 20_000):
        assert await door(site, run_id, bad) == 401


@every_door
async def test_expired_and_revoked_ones_do_not(site: Site, door: Callable[..., Any]) -> None:
    run_id = await sleeper(site)
    key = site.tokens.key
    expired = key.sign(msgspec.json.encode({"scope": "runs:read", "exp": now_s() - 31}))
    early = key.sign(
        msgspec.json.encode({"scope": "runs:read", "exp": now_s() + 60, "nbf": now_s() + 40})
    )
    revoked = await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)
    await site.tokens.revoke(revoked.jti, ADMIN)
    for bad in (expired, early, revoked.token):
        assert await door(site, run_id, bad) == 401


@every_door
async def test_tokens_without_the_right_are_refused(site: Site, door: Callable[..., Any]) -> None:
    run_id = await sleeper(site)
    assert await door(site, run_id, await token_for(site, "runs:submit admin")) == 403


@every_door
async def test_for_narrowed_tokens_other_runs_do_not_exist(
    site: Site, door: Callable[..., Any]
) -> None:
    run_id = await sleeper(site)
    for wishes in ({"jobs": ("hello",)}, {"runs": ("other-*",)}, {"jobs": ("*",), "runs": ()}):
        assert await door(site, run_id, await token_for(site, **wishes)) == 404


@every_door
async def test_a_ticket_opens_one_stream_once(site: Site, door: Callable[..., Any]) -> None:
    run_id, other = await sleeper(site), await sleeper(site)
    ticket = await ticket_for(site, run_id)
    assert await door(site, other, ticket) == 403
    assert await door(site, run_id, ticket) == 200
    assert await door(site, run_id, ticket) == 401


async def test_of_two_that_show_one_ticket_at_once_exactly_one_comes_in(site: Site) -> None:
    run_id = await sleeper(site)
    ticket = await ticket_for(site, run_id)
    statuses: list[int] = []

    async def show(door: Callable[..., Any]) -> None:
        statuses.append(await door(site, run_id, ticket))

    async with trio.open_nursery() as nursery:
        for door in (by_header, by_address, by_first_message):
            nursery.start_soon(show, door)
    assert sorted(statuses) == [200, 401, 401]


async def test_a_used_ticket_stays_used_across_a_restart(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo hi")
        await site.ended(run_id)
        used, unused = [await ticket_for(site, run_id) for _ in range(2)]
        assert await by_address(site, run_id, used) == 200
    async with open_site() as site:
        assert await by_address(site, run_id, used) == 401
        assert await by_address(site, run_id, unused) == 200


async def test_a_ticket_does_not_open_the_feed_of_all_runs(site: Site) -> None:
    run_id = await sleeper(site)
    for header in (await ticket_for(site, run_id), None):
        query = f"?token={await ticket_for(site, run_id)}" if header is None else ""
        with pytest.raises(Refused) as refused:
            async with watching(site, f"/events{query}", header=header):
                pass
        assert refused.value.status == 403


async def test_on_the_unix_socket_nothing_need_be_shown(site: Site) -> None:
    run_id = await sleeper(site)
    async with watching(site, f"/runs/{run_id}/stream", unix=True) as viewer:
        assert (await viewer.hear("stdout"))["data"] == "ready\n"


class TestAddresses:
    """`?token=` can be switched off; tickets are made for addresses and stay."""

    async def test_tokens_in_addresses_can_be_refused(self, open_site: OpenSite) -> None:
        async with open_site(auth_settings=AuthSettings(query_token=False)) as site:
            run_id = await sleeper(site)
            token = await token_for(site)
            fixed = site.http.headers["Authorization"].split()[1]
            for shown in (token, fixed):
                assert await by_address(site, run_id, shown) == 401
                assert await by_header(site, run_id, shown) == 200
                assert await by_first_message(site, run_id, shown) == 200
            assert await by_address(site, run_id, await ticket_for(site, run_id)) == 200

    async def test_what_stands_in_an_address_is_never_logged(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        run_id = await sleeper(site)
        good, ticket = await token_for(site), await ticket_for(site, run_id)
        secret = "never-to-be-seen-in-a-log"
        assert await by_address(site, run_id, good) == 200
        assert await by_address(site, run_id, ticket) == 200
        assert await by_address(site, run_id, secret) == 401
        assert (await site.http.get(f"/runs/{run_id}/log?token={secret}")).status_code == 422
        clients = ("httpx", "httpcore", "trio-websocket", "trio_websocket")
        ours = [r.getMessage() for r in caplog.records if not r.name.startswith(clients)]
        assert any(run_id in line for line in ours)
        for text in (secret, good.split(".")[2], ticket.split(".")[2]):
            assert not [line for line in ours if text in line]


class TestEnds:
    async def test_a_stream_ends_when_its_token_is_revoked(self, site: Site) -> None:
        run_id = await sleeper(site)
        new = await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)
        for path in (f"/runs/{run_id}/stream", "/events"):
            async with watching(site, path, header=new.token) as viewer:
                await viewer.hear("status" if path != "/events" else "hello")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(site.tokens.revoke, new.jti, ADMIN)
                    code, said = await viewer.closed()
                assert (code, "revoked" in said) == (4401, True)
            new = await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)

    async def test_other_streams_go_on(self, site: Site) -> None:
        run_id = await sleeper(site)
        one, other = [
            await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN) for _ in range(2)
        ]
        path = f"/runs/{run_id}/stream"
        async with (
            watching(site, path, header=one.token) as ends,
            watching(site, path, header=other.token) as stays,
        ):
            await site.tokens.revoke(one.jti, ADMIN)
            assert (await ends.closed())[0] == 4401
            await site.http.post(f"/runs/{run_id}/cancel")
            await stays.hear("end")

    async def test_a_stream_ends_when_its_token_expires(self, site: Site) -> None:
        run_id = await sleeper(site)
        token = await token_for(site, lifetime="3s")
        async with watching(site, f"/runs/{run_id}/stream", header=token) as viewer:
            code, _said = await viewer.closed()
        assert code == 4401
        assert datetime.now(UTC).timestamp() >= _exp(token)

    async def test_a_token_that_is_just_past_its_end_lasts_as_long_as_the_leeway(
        self, open_site: OpenSite
    ) -> None:
        async with open_site(auth_settings=AuthSettings(leeway_s=2)) as site:
            run_id = await sleeper(site)
            ends: list[tuple[int, float]] = []
            for _ in range(20):  # it may take longer than the leeway to come in
                exp = datetime.now(UTC).timestamp()
                claims = {"scope": "runs:read", "exp": exp}
                token = site.tokens.key.sign(msgspec.json.encode(claims))
                with suppress(Refused):
                    async with watching(site, f"/runs/{run_id}/stream", header=token) as viewer:
                        code, _said = await viewer.closed()
                        ends.append((code, datetime.now(UTC).timestamp() - exp))
                    break
            [(code, lasted_s)] = ends
            assert (code, lasted_s >= 2) == (4401, True)

    async def test_a_stream_goes_on_when_its_token_is_renewed(self, site: Site) -> None:
        run_id = await sleeper(site)
        old = await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)
        async with watching(site, f"/runs/{run_id}/stream", header=old.token) as viewer:
            await viewer.hear("stdout")
            await viewer.say(type="auth", token=await token_for(site))
            # An answer to nothing, but what is said is heard in its order.
            await viewer.say(type="seek", **{"from": 0})
            await viewer.hear("stdout")
            await site.tokens.revoke(old.jti, ADMIN)
            await site.http.post(f"/runs/{run_id}/cancel")
            await viewer.hear("end")

    @pytest.mark.parametrize(
        ("wishes", "code"),
        [
            ({"scope": "runs:submit"}, 4403),
            ({"scope": "runs:read", "runs": ("other",)}, 4404),
            (None, 4401),
        ],
    )
    async def test_a_renewal_that_would_not_come_in_ends_it(
        self, site: Site, wishes: dict[str, Any] | None, code: int
    ) -> None:
        run_id = await sleeper(site)
        new = "rubbish" if wishes is None else await token_for(site, **wishes)
        async with watching(site, f"/runs/{run_id}/stream", header=await token_for(site)) as viewer:
            await viewer.say(type="auth", token=new)
            assert (await viewer.closed())[0] == code

    async def test_a_ticket_is_no_renewal(self, site: Site) -> None:
        run_id = await sleeper(site)
        token = await token_for(site)
        async with watching(site, f"/runs/{run_id}/stream", header=token) as viewer:
            await viewer.say(type="auth", token=await ticket_for(site, run_id))
            assert (await viewer.closed())[0] == 4403

    async def test_a_tickets_stream_ends_with_the_token_it_was_made_with(self, site: Site) -> None:
        run_id = await sleeper(site)
        parent = await site.tokens.issue(TokenRequest(scope="runs:read"), ADMIN)
        ticket = await ticket_for(site, run_id, parent.token)
        async with watching(site, f"/runs?runId={run_id}&token={ticket}") as viewer:
            await viewer.hear("stdout")
            await site.tokens.revoke(parent.jti, ADMIN)
            assert (await viewer.closed())[0] == 4401

    async def test_a_tickets_stream_outlasts_the_ticket(self, site: Site) -> None:
        """Its seconds are for opening the stream; how long that lasts is the token's to say."""
        run_id = await sleeper(site)
        short = await token_for(site, lifetime="2s")
        ticket = await ticket_for(site, run_id, short)
        assert _exp(ticket) <= _exp(short)
        ticket = await ticket_for(site, run_id)
        async with watching(site, f"/runs?runId={run_id}&token={ticket}") as viewer:
            await viewer.hear("stdout")
            await site.http.post(f"/runs/{run_id}/cancel")
            await viewer.hear("end")


async def test_the_feed_tells_only_of_runs_within_reach(site: Site) -> None:
    token = await token_for(site, jobs=("hello",))
    async with watching(site, "/events", header=token) as viewer:
        await viewer.hear("hello")
        await site.ended(await site.shell("true"))
        run_id = (await site.http.post("/runs", json={"job": "hello"})).json()["id"]
        await site.ended(run_id)
        heard = [await viewer.hear("event") for _ in range(4)]
    assert {message["run"]["id"] for message in heard} == {run_id}


class TestForeignKeys:
    """Tokens of an identity provider, at the door of the API."""

    async def get(self, site: Site, token: str) -> httpx.Response:
        return await site.http.get("/runs", headers={"Authorization": f"Bearer {token}"})

    async def test_configured_keys_and_claims(self, open_site: OpenSite) -> None:
        settings = AuthSettings(
            issuer="https://id.example", audience=("runwire",), scope_claim=("realm", "roles")
        )
        keys = [read_key(key_file(a), kid=a) for a in ("RS256", "ES256", "EdDSA")]
        said = {
            "iss": "https://id.example",
            "aud": ["runwire"],
            "realm": {"roles": ["runs:read"]},
            "exp": now_s() + 60,
        }
        async with open_site(auth_settings=settings, keys=keys) as site:
            for algorithm in ("RS256", "ES256", "EdDSA"):
                token = sign(algorithm, said, kid=algorithm)
                assert (await self.get(site, token)).status_code == 200
            for wrong in ({"iss": "runwire"}, {"aud": "other"}, {"exp": now_s() - 60}):
                answer = await self.get(site, sign("RS256", said | wrong))
                assert answer.status_code == 401
            plain = {"scope": "admin runs:read", "realm": None}
            assert (await self.get(site, sign("RS256", said | plain))).status_code == 403
            own = site.tokens.key.sign(
                msgspec.json.encode(
                    {"iss": "runwire", "aud": "runwire", "scope": "runs:read", "exp": now_s() + 60}
                )
            )
            assert (await self.get(site, own)).status_code == 200

    async def test_a_key_that_is_rotated_in_at_the_url_counts_at_once(
        self, open_site: OpenSite
    ) -> None:
        said = {"scope": "runs:read", "exp": now_s() + 60}
        old, new = (sign("ES256", said, number=n, kid=f"k{n}") for n in (1, 2))
        async with provider() as server:
            server.answer(key_set(jwk("ES256", 1, kid="k1")))
            settings = AuthSettings(jwks_urls=(server.url,))
            async with open_site(auth_settings=settings) as site:
                assert (await self.get(site, old)).status_code == 200
                assert (await self.get(site, new)).status_code == 401
                server.answer(key_set(jwk("ES256", 1, kid="k1"), jwk("ES256", 2, kid="k2")))
                assert (await self.get(site, new)).status_code == 200
                server.answer(key_set(jwk("ES256", 2, kid="k2")))
                assert (await self.get(site, sign("ES256", said, kid="k3"))).status_code == 401
                assert (await self.get(site, old)).status_code == 401
                assert (await self.get(site, new)).status_code == 200
                server.answer(b"", status="500 Oops")
                assert (await self.get(site, sign("ES256", said, kid="k4"))).status_code == 401
                assert (await self.get(site, new)).status_code == 200

    async def test_a_foreign_key_makes_no_tickets(self, open_site: OpenSite) -> None:
        async with open_site(keys=[read_key(key_file("ES256"))]) as site:
            run_id = await sleeper(site)
            ticket = {"run": run_id, "exp": now_s() + 9, "jti": "x", "kind": "user", "sub": "root"}
            assert await by_address(site, run_id, sign("ES256", ticket, typ="ticket+jwt")) == 401


def _exp(token: str) -> float:
    return float(jwt.decode(token, options={"verify_signature": False})["exp"])
