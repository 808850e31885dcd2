"""`/events`: what happens to all runs that a token may see, live and resumable."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
import trio
from msgspec import Struct

from supervisor.access.claims import Claims, Scope
from supervisor.errors import BadValue, NoSuchRun, ShuttingDown
from supervisor.messages import ClientMessage
from supervisor.model import Run, event_name
from supervisor.service import Supervisor
from supervisor.wire import EventView, show_run
from web.streams.conversation import Conversation
from web.streams.message import Message

_PAGE = 200


class FeedQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may stand in the address of the feed."""

    since: int | None = None
    token: str | None = None


async def stream_events(
    conversation: Conversation, supervisor: Supervisor, query: FeedQuery
) -> None:
    """Serve one watcher of all runs. Raises the RunwireError that ended it."""
    since = query.since
    if not conversation.authenticated:
        since = (await conversation.wait_hello()).since
    feed = _Feed(conversation, supervisor)
    await conversation.converse(feed.messages(since), _ignore, _may_watch, feed.leave)


class _Feed:
    """One watcher's place among the events of all runs."""

    def __init__(self, conversation: Conversation, supervisor: Supervisor) -> None:
        self._conversation = conversation
        self._supervisor = supervisor
        self._leaving = False
        self._waiting = trio.CancelScope()

    def leave(self) -> None:
        """Wait for nothing more: when all there is was told, `messages` raises ShuttingDown."""
        self._leaving = True
        self._waiting.cancel()

    async def messages(self, since: int | None) -> AsyncGenerator[Message, None]:
        """Everything after `since`. Raises BadValue if it is no place among the events."""
        supervisor = self._supervisor
        seq = supervisor.last_seq if since is None else since
        if not 0 <= seq <= supervisor.last_seq:
            raise BadValue(
                f"since: from 0 to {supervisor.last_seq}, the newest event", field="since"
            )
        yield Message(msgspec.json.encode({"type": "hello", "seq": seq}))
        while True:
            newest = supervisor.last_seq
            if newest <= seq:
                await self._wait()
                continue
            told = _Told(supervisor, self._conversation)
            events = await supervisor.events_since(seq, _PAGE)
            for event in events:
                if message := await told.message(event):
                    yield message
                seq = event.seq
            if len(events) < _PAGE:
                seq = max(seq, newest)  # what lies between was of runs that are deleted

    async def _wait(self) -> None:
        if self._leaving:
            raise ShuttingDown("the server is going away")
        with trio.CancelScope() as self._waiting:
            await self._supervisor.changed.wait()


class _Told:
    """Makes the messages of one page of events; most are of the same few runs."""

    def __init__(self, supervisor: Supervisor, conversation: Conversation) -> None:
        self._supervisor = supervisor
        self._conversation = conversation
        self._ended: dict[str, Run | None] = {}

    async def message(self, event: EventView) -> Message | None:
        """What a watcher is told of `event`; None for a run that is gone, or none of theirs."""
        run = await self._run(event)
        # Who is asking may have changed by a renewal, so it is looked at each time.
        if run is None or not self._conversation.claims.covers(run):
            return None
        return Message(
            msgspec.json.encode(
                {
                    "type": "event",
                    "seq": event.seq,
                    "run": show_run(run, self._supervisor.log_info(run)),
                    "event": event_name(event.entry.event),
                    "time": event.entry.at.wall,
                }
            )
        )

    async def _run(self, event: EventView) -> Run | None:
        run_id = event.entry.run_id
        if run_id in self._ended:
            return self._ended[run_id]
        try:
            run = await self._supervisor.run_after(event)
        except NoSuchRun:
            run = None
        if run is None or run.status.ended:
            self._ended[run_id] = run
        return run


def _may_watch(claims: Claims) -> None:
    claims.require(Scope.RUNS_READ)


def _ignore(message: ClientMessage) -> None:
    """A watcher of everything has nothing to say."""
    del message
