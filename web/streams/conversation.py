"""One client on a line of its own: who is asking, what they say, and how it ends.

Whatever ends a conversation, the client is told why: an `error` message and the close code that
docs/protocol.md gives it. One task reads all the time, so that pings are answered and a client
that is gone is noticed; one ends the conversation when the token does, one when the server does,
one says that it lives where there is nothing else to say; and the one that was asked for speaks.
"""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import trio

from supervisor import messages
from supervisor.access.claims import Claims
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
from web.auth.auth import Auth
from web.shutdown import GOING_AWAY, Shutdown
from web.streams.line import Line
from web.streams.message import Message

HELLO_WAIT_S = 5.0
END_WAIT_S = 5.0
HEARTBEAT_S = 20.0
CATCH_UP_S = 0.5
"""How long a client may still be told what there is when the server goes away."""
LAST_WORD_S = 1.0
"""How long the message under way, and then the farewell, may take before the connection is cut."""

NORMAL, BUG, WRONG_SUBPROTOCOL = 1000, 1011, 4409
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
Leave = Callable[[], None]

_PING = Message(messages.PING)


def close_code(error: RunwireError) -> int:
    """The close code that tells a client of `error`; of a shutdown, one that is no restart."""
    return next((code for kind, code in CLOSE_CODES if isinstance(error, kind)), BUG)


async def let_take(line: Line) -> None:
    """Return when the client has had END_WAIT_S to close since it took the last of what was said.

    Or to take more, as one does whose way to us is slow.
    """
    before = math.inf
    while (left := line.untaken) < before:
        before = left
        await trio.sleep(END_WAIT_S)


class Conversation:
    """A client that was let in; `hold` is its whole life."""

    def __init__(self, line: Line, auth: Auth, claims: Claims | None, shutdown: Shutdown) -> None:
        """`claims` are None if the client has still to say who it is."""
        self._line = line
        self._auth = auth
        self._claims = claims
        self._shutdown = shutdown
        self._token_watch = trio.CancelScope()
        self._nursery: trio.Nursery
        self._leave: Leave | None = None
        self._error: RunwireError | None = None
        self._over = False
        self._said_all = False
        self._sending = 0
        self._spoke = False
        """Whether anything was said since it was last asked."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on; None for a client that offered none."""
        return self._line.subprotocol

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

    async def hold(self, talk: Callable[[Conversation], Awaitable[None]]) -> None:
        """Have `talk` say what there is to say, until something ends it; then say why, and close.

        `talk` uses `wait_hello` and `converse`. Raises only what a bug raises; then nothing was
        closed yet.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._guard, self._wait_shutdown)
            await self._guard(functools.partial(talk, self))
            nursery.cancel_scope.cancel()
        await self.close(self._error)

    async def wait_hello(self, *, stream_of: str | None = None) -> Hello:
        """The first message, with who it is from. `stream_of` is the run that is asked for.

        Raises HelloTimeout, BadRequest, Denied.
        """
        with trio.move_on_after(HELLO_WAIT_S):
            hello = decode_client_message(await self._line.receive())
            if not isinstance(hello, Hello):
                raise BadRequest("the first message must be a hello")
            self._claims = await self._auth.claims_of(
                self._line.peer, hello.token, stream_of=stream_of
            )
            return hello
        raise HelloTimeout(f"no hello came within {HELLO_WAIT_S:g} seconds")

    async def converse(
        self,
        speech: AsyncGenerator[Message, None],
        heard: Heard,
        admits: Callable[[Claims], None],
        leave: Leave,
    ) -> None:
        """Say all of `speech`, then wait for the client to close; `heard` gets what it says.

        `admits` raises a RunwireError for claims that do not allow this conversation; it is asked
        now and for every new token. `leave` is called when the server goes away: `speech` then
        raises ShuttingDown as soon as it has said all there is.
        """
        admits(self.claims)
        self._leave = leave
        for task in (
            functools.partial(self._listen, heard, admits),
            self._wait_token_ended,
            self._keep_alive,
        ):
            self._nursery.start_soon(self._guard, task)
        async with aclosing(speech):
            async for message in speech:
                await self._send(message)
        # The client closes first: whoever closes with words unread may cut the end off.
        self._said_all = True
        await let_take(self._line)

    def beside(self, task: Callable[[], Awaitable[None]]) -> None:
        """Do `task` for as long as the conversation lasts; its RunwireError ends that."""
        self._nursery.start_soon(self._guard, task)

    async def say(self, message: Message) -> None:
        """Say one message as soon as it can be said, between two of the speech."""
        await self._send(message)

    def say_now(self, message: Message) -> bool:
        """Say one message, if that can be done without waiting; whether it was."""
        if self._over or self._sending or not self._line.send_now(message):
            return False
        self._spoke = True
        return True

    async def close(self, error: RunwireError | None = None) -> None:
        """Say why, if there is a reason, and close; cut the connection if nothing is taken."""
        if error is None:
            await self._farewell(NORMAL)
        else:
            going = isinstance(error, ShuttingDown)
            code = self._shutdown.close_code if going else close_code(error)
            await self._farewell(code, error.code, error.message)

    async def close_after_bug(self) -> None:
        """Close without a word about what went wrong inside."""
        await self._farewell(BUG)

    async def _farewell(self, code: int, reason: str = "", why: str | None = None) -> None:
        with trio.move_on_after(LAST_WORD_S) as patience:
            if why is not None:
                await self._line.send(Message(messages.error_message(reason, why)))
            await self._line.close(code, reason)
        if patience.cancelled_caught:
            self._line.abort()

    # --- what ends it ----------------------------------------------------------------------------

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Do `task`; the RunwireError that it raises ends the conversation."""
        try:
            await task()
        except RunwireError as error:
            self._end(error)

    def _end(self, error: RunwireError) -> None:
        if self._over:
            return
        self._over = True
        if not self._said_all:
            self._error = error
        # Half a message cannot be followed by a farewell, so one under way is let go first.
        wait_s = LAST_WORD_S if self._sending else 0
        self._nursery.cancel_scope.deadline = trio.current_time() + wait_s

    async def _wait_token_ended(self) -> None:
        """Raise Unauthenticated when the token expires or is revoked, unless it is renewed."""
        while True:
            with trio.CancelScope() as self._token_watch:
                await self._auth.wait_ended(self.claims)
                raise Unauthenticated("the token has expired or was revoked")

    async def _wait_shutdown(self) -> None:
        await self._shutdown.wait()
        if self._leave is not None:
            # Runs have just been stopped, and those who watch are to see how they ended.
            self._leave()
            await trio.sleep(CATCH_UP_S)
        raise ShuttingDown("the server is going away")

    # --- speaking and listening ------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        self._sending += 1
        await self._line.send(message)
        self._sending -= 1
        self._spoke = True
        if self._over and not self._sending:
            self._nursery.cancel_scope.cancel()
        # Sending to a client that is gone waits for nothing, and who is gone is noticed elsewhere.
        await trio.lowlevel.checkpoint()

    async def _keep_alive(self) -> None:
        """Ping when nothing else was sent for HEARTBEAT_S, or up to a quarter longer."""
        silent_s = 0.0
        while True:
            await trio.sleep(HEARTBEAT_S / 4)
            silent_s = 0.0 if self._spoke or self._sending else silent_s + HEARTBEAT_S / 4
            self._spoke = False
            if silent_s >= HEARTBEAT_S:
                await self._send(_PING)

    async def _listen(self, heard: Heard, admits: Callable[[Claims], None]) -> None:
        while True:
            message = decode_client_message(await self._line.receive())
            if isinstance(message, Renewal):
                claims = await self._auth.claims_of(self._line.peer, message.token)
                admits(claims)
                self._claims = claims
                self._token_watch.cancel()
            elif isinstance(message, Hello):
                raise BadRequest("it is known already who is asking, and for what")
            else:
                heard(message)
