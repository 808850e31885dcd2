"""The Python client: follows a run to its end, across cut connections and restarts of the server.

    async with follow(socket_address("runwire.sock"), "build-42") as updates:
        async for update in updates:
            match update:
                case Output():
                    print(update.stream.label, update.data)
                case End():
                    print(update.run.status)

Where it goes on is the offset after the last update that was taken. Whatever breaks, the next
connection asks from there, so that no byte is lost or doubled; and what was taken is acknowledged,
so that the server never runs ahead of a slow consumer by more than `WINDOW_BYTES`. The loop ends
after the `End`, and with an error in every other case.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import trio
from msgspec import Struct

from supervisor.client.address import Address, socket_address, target, url_address, with_token
from supervisor.client.api import run_path
from supervisor.client.dial import Line, open_line
from supervisor.client.tokenfile import with_current_token
from supervisor.client.tokentext import read_token
from supervisor.client.updates import End, Gap, Update
from supervisor.errors import (
    BadValue,
    RunwireError,
    ServerUnreachable,
    Unauthenticated,
    Unavailable,
)
from supervisor.frames import Output
from supervisor.messages import Ack, Auth, StatusMessage
from supervisor.units import MIB

__all__ = (
    "EVERYTHING",
    "WINDOW_BYTES",
    "Address",
    "End",
    "Gap",
    "Output",
    "StatusMessage",
    "TokenSource",
    "Update",
    "Wanted",
    "follow",
    "socket_address",
    "url_address",
)

WINDOW_BYTES = 1 * MIB
_ACK_BYTES = WINDOW_BYTES // 4
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_RENEW_EARLY_S = 60.0
_RENEW_AGAIN_S = 5.0

TokenSource = Callable[[], Awaitable[str]]
"""Gives a token that is good now: at each connect, and again before that one expires."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What to follow: from which offset, one stream (`stdout` or `stderr`) or both.

    `start` below zero is that many bytes before the log's end, moved back to the start of a line.
    """

    start: int = 0
    stream: str | None = None


EVERYTHING = Wanted()


@asynccontextmanager
async def follow(
    address: Address,
    run_id: str,
    wanted: Wanted = EVERYTHING,
    *,
    token: TokenSource | None = None,
    patience_s: float = math.inf,
) -> AsyncIterator[AsyncIterator[Update]]:
    """The updates of a run's stream, waiting for more until its `End`; an async context manager.

    `Output` and `Gap` follow each other without a hole; with one stream wanted, offsets only
    increase. `StatusMessage` tells what happened to the run, each once, at its place.

    The loop raises what the server refuses with, such as NoSuchRun, Forbidden, or Unauthenticated
    for a token that is not good (any more), and ProtocolError if it is not Runwire that answers. A
    server that cannot be reached is tried again and again: ServerUnreachable is raised if that
    lasts for `patience_s`.
    """
    async with _updates(address, run_id, wanted, token, patience_s) as updates:
        yield _Updates(updates)


class _Updates:
    """What `_updates` gives, with its failure raised where it is waited for.

    A task that fails ends its channel, and would look like the end to whoever reads from that.
    """

    def __init__(self, updates: trio.abc.ReceiveChannel[Update | _Failure]) -> None:
        self._updates = updates
        self._failure: _Failure | None = None

    def __aiter__(self) -> _Updates:
        return self

    async def __anext__(self) -> Update:
        if self._failure is None:
            update = await anext(self._updates)
            if not isinstance(update, _Failure):
                return update
            self._failure = update
        raise self._failure.error


class _Failure:
    def __init__(self, error: Exception) -> None:
        self.error = error


@trio.as_safe_channel
async def _updates(
    address: Address, run_id: str, wanted: Wanted, token: TokenSource | None, patience_s: float
) -> AsyncGenerator[Update | _Failure, None]:
    try:
        async with aclosing(_attempts(address, run_id, wanted, token, patience_s)) as updates:
            async for update in updates:
                yield update
    except Exception as error:  # noqa: BLE001 - it is raised again, by _Updates
        yield _Failure(error)


async def _attempts(
    address: Address, run_id: str, wanted: Wanted, token: TokenSource | None, patience_s: float
) -> AsyncGenerator[Update, None]:
    place = _Place(wanted.start)
    outage = _Outage(patience_s)
    while True:
        heard = False
        unacknowledged = 0
        try:
            shown = await _authorised(address, token)
            async with open_line(shown, _path(shown, run_id, wanted.stream, place)) as line:
                outage.answered()
                line.nursery.start_soon(_keep_renewed, line, shown, address, token)
                while True:
                    for update in await line.receive():
                        heard = True
                        outage.over()
                        yield update
                        if isinstance(update, End):
                            await line.close()
                            return
                        unacknowledged += place.take(update)
                        if unacknowledged >= _ACK_BYTES:
                            await line.say(Ack(place.offset))
                            unacknowledged = 0
        except (ServerUnreachable, Unavailable) as exc:
            broken: RunwireError = exc
        except Unauthenticated as exc:
            # What was good once is so again with another token, if there is somebody to ask.
            if not heard or (token is None and address.token_file is None):
                raise
            broken = exc
        await outage.wait(broken, f"run {run_id} may go on; it was read to offset {place.offset}")


class _Place:
    """How far a follower has come."""

    def __init__(self, start: int) -> None:
        self.offset = start
        self.seq = 0

    def take(self, update: Update) -> int:
        """The update was dealt with: how many bytes of output it was."""
        match update:
            case Output():
                self.offset = update.next
                return len(update.data)
            case Gap():
                self.offset = update.next
            case StatusMessage():
                self.seq = update.seq
        return 0


class _Outage:
    """For how long the server has not been there, and when to try again."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def answered(self) -> None:
        """The server is there, even if it has nothing to say."""
        self._since = None

    def over(self) -> None:
        """The server does its work."""
        self._pause_s = _FIRST_PAUSE_S

    async def wait(self, broken: RunwireError, left: str) -> None:
        """Return when it is time to try again, later each time.

        Raises ServerUnreachable, which tells what was `left`, if there was no answer for longer
        than the patience.
        """
        self._since = trio.current_time() if self._since is None else self._since
        if trio.current_time() - self._since >= self._patience_s:
            raise ServerUnreachable(f"{broken.message}; {left}")
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        await trio.sleep(pause_s)


def _path(address: Address, run_id: str, stream: str | None, place: _Place) -> str:
    query: dict[str, str | list[str]] = {
        "from": str(place.offset),
        "seq": str(place.seq),
        "window": str(WINDOW_BYTES),
    }
    if stream is not None:
        query["streams"] = stream
    return target(address, run_path(run_id, "/stream"), query)


async def _authorised(address: Address, source: TokenSource | None) -> Address:
    """The address with the token to show now."""
    if source is None:
        return with_current_token(address)
    return with_token(address, await source())


async def _keep_renewed(
    line: Line, shown: Address, address: Address, source: TokenSource | None
) -> None:
    """Shows the server a newer token each time before the one it knows expires.

    If there is none yet, asks again until that has happened; then the server ends the stream.
    """
    while shown.token is not None and (until := _expiry(shown.token)) is not None:
        left_s = until - time.time()
        await trio.sleep(max(0.0, left_s - min(_RENEW_EARLY_S, left_s / 5)))
        while (newer := await _newer(shown, address, source)).token == shown.token:
            left_s = until - time.time()
            if left_s <= 0:
                return
            await trio.sleep(min(_RENEW_AGAIN_S, left_s / 5 + 0.1))
        shown = newer
        await line.say(Auth(str(shown.token)))


async def _newer(shown: Address, address: Address, source: TokenSource | None) -> Address:
    """The address with the token to show now; `shown` if there is none, as while a file is written."""
    try:
        return await _authorised(address, source)
    except BadValue:
        return shown


def _expiry(token: str) -> int | None:
    """When the token expires, in seconds since 1970; None if that cannot be known."""
    try:
        return read_token(token).until
    except BadValue:
        return None
