"""One WebSocket connection: who is asking, what they say, and how it ends.

Whatever ends a conversation, the client is told why: an `error` message and the close code that
docs/protocol.md gives it. One task reads all the time, so that pings are answered and a client
that is gone is noticed; one ends the conversation when the token does, one when the server does;
and the one that was asked for speaks.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import trio
from quart import Websocket

from supervisor import messages
from supervisor.access import Claims
from supervisor.errors import (
    BadRequest,
    Forbidden,
    HelloTimeout,
    NoSuchRun,
    RunwireError,
    ShuttingDown,
    Stalled,
    Unauthenticated,
)
from supervisor.messages import Auth as Renewal
from supervisor.messages import ClientMessage, Hello, decode_client_message
from web.auth import Auth
from web.door import peer_of

BINARY = "runwire.binary"
JSON = "runwire.json"
SUBPROTOCOLS = (BINARY, JSON)

HELLO_WAIT_S = 5.0
END_WAIT_S = 5.0

GOING_AWAY, BUG, WRONG_SUBPROTOCOL = 1001, 1011, 4409
CLOSE_CODES: tuple[tuple[type[RunwireError], int], ...] = (
    (Unauthenticated, 4401),
    (Forbidden, 4403),
    (NoSuchRun, 4404),
    (HelloTimeout, 4408),
    (Stalled, 4430),
    (ShuttingDown, GOING_AWAY),
    (BadRequest, 4400),
)

Heard = Callable[[ClientMessage], None]

_log = logging.getLogger("runwire.web")


def close_code(error: RunwireError) -> int:
    """The close code that tells a client of `error`."""
    return next((code for kind, code in CLOSE_CODES if isinstance(error, kind)), BUG)


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """The first of ours that the client offers, None if it offers none of them."""
    return next((name for name in offered if name in SUBPROTOCOLS), None)


class Conversation:
    """A WebSocket that was let in; made once the handshake is allowed, ended by `closing`."""

    def __init__(
        self, websocket: Websocket, auth: Auth, claims: Claims | None, shutdown: trio.Event
    ) -> None:
        """`claims` are None if the client has still to say who it is."""
        self._websocket = websocket
        self._auth = auth
        self._claims = claims
        self._shutdown = shutdown
        self._token_watch = trio.CancelScope()
        self._admits: Callable[[Claims], None] = lambda _claims: None

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on; None for a client that offered none."""
        return choose_subprotocol(self._websocket.requested_subprotocols)

    @property
    def authenticated(self) -> bool:
        """Whether it is known who is asking."""
        return self._claims is not None

    @property
    def claims(self) -> Claims:
        """Who is asking. Raises Unauthenticated before that is known."""
        if self._claims is None:
            raise Unauthenticated("a token is needed, in the first message at the latest")
        return self._claims

    async def wait_hello(self, *, stream_of: str | None = None) -> Hello:
        """The first message, with who it is from. `stream_of` is the run that is asked for.

        Raises HelloTimeout, BadRequest, Denied.
        """
        with trio.move_on_after(HELLO_WAIT_S):
            hello = decode_client_message(await self._websocket.receive())
            if not isinstance(hello, Hello):
                raise BadRequest("the first message must be a hello")
            self._claims = await self._auth.claims_of(
                peer_of(self._websocket), hello.token, stream_of=stream_of
            )
            return hello
        raise HelloTimeout(f"no hello came within {HELLO_WAIT_S:g} seconds")

    async def converse(
        self,
        speech: AsyncGenerator[str | bytes, None],
        heard: Heard,
        admits: Callable[[Claims], None],
    ) -> None:
        """Say all of `speech`, then wait for the client to close; `heard` gets what it says.

        `admits` raises Denied for claims that do not allow this conversation; it is asked now and
        for every new token. Raises the RunwireError that ended the conversation early.
        """
        admits(self.claims)
        self._admits = admits
        failures: list[RunwireError] = []
        async with trio.open_nursery() as nursery:

            async def guarded(task: Callable[[], object]) -> None:
                try:
                    await task()  # type: ignore[misc]
                except RunwireError as error:
                    failures.append(error)
                    nursery.cancel_scope.cancel()

            async def speak() -> None:
                async with aclosing(speech):
                    async for message in speech:
                        await self._websocket.send(message)
                # The client closes first: whoever closes with words unread may cut the end off.
                await trio.sleep(END_WAIT_S)
                nursery.cancel_scope.cancel()

            async def listen() -> None:
                while True:
                    await self._hear(heard)

            for task in (speak, listen, self._wait_token_ended, self._wait_shutdown):
                nursery.start_soon(guarded, task)
        if failures:
            raise failures[0]

    async def close(self, error: RunwireError | None = None) -> None:
        """Say why, if there is a reason, and close."""
        if error is not None:
            await self._websocket.send(messages.error_message(error.code, error.message).decode())
        code = 1000 if error is None else close_code(error)
        await self._websocket.close(code, "" if error is None else error.code)

    async def _hear(self, heard: Heard) -> None:
        message = decode_client_message(await self._websocket.receive())
        if isinstance(message, Hello):
            raise BadRequest("only the first message can be a hello")
        if not isinstance(message, Renewal):
            heard(message)
            return
        claims = await self._auth.claims_of(peer_of(self._websocket), message.token)
        self._admits(claims)
        self._claims = claims
        self._token_watch.cancel()

    async def _wait_token_ended(self) -> None:
        """Raise Unauthenticated when the token expires or is revoked, unless it is renewed."""
        while True:
            with trio.CancelScope() as self._token_watch:
                await self._auth.wait_ended(self.claims)
                raise Unauthenticated("the token has expired or was revoked")

    async def _wait_shutdown(self) -> None:
        await self._shutdown.wait()
        raise ShuttingDown("the server is going away")
