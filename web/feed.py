"""`/events`: what happens to all runs that a token may see, live and resumable."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
import trio
from msgspec import Struct

from supervisor.access import Claims, Scope
from supervisor.errors import NoSuchRun
from supervisor.messages import PING, ClientMessage
from supervisor.model import event_name
from supervisor.service import Supervisor
from supervisor.wire import EventView, show_run
from web.conversation import Conversation
from web.viewer import HEARTBEAT_S

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
    await conversation.converse(_speech(conversation, supervisor, since), _ignore, _may_watch)


async def _speech(
    conversation: Conversation, supervisor: Supervisor, since: int | None
) -> AsyncGenerator[str | bytes, None]:
    seq = supervisor.last_seq if since is None else since
    yield msgspec.json.encode({"type": "hello", "seq": seq}).decode()
    while True:
        if supervisor.last_seq > seq:
            for event in await supervisor.events_since(seq, _PAGE):
                seq = event.seq
                if message := await _message(conversation.claims, supervisor, event):
                    yield message
        else:
            with trio.move_on_after(HEARTBEAT_S) as patience:
                await supervisor.changed.wait()
            if patience.cancelled_caught:
                yield PING.decode()
        await trio.lowlevel.checkpoint()


async def _message(claims: Claims, supervisor: Supervisor, event: EventView) -> str | None:
    """What a watcher is told of `event`; None for a run that is gone, or none of theirs."""
    try:
        run = await supervisor.get(event.entry.run_id)
    except NoSuchRun:
        return None
    if not claims.covers(run):
        return None
    return msgspec.json.encode(
        {
            "type": "event",
            "seq": event.seq,
            "run": show_run(run, supervisor.log_info(run)),
            "event": event_name(event.entry.event),
            "time": event.entry.at.wall,
        }
    ).decode()


def _may_watch(claims: Claims) -> None:
    claims.require(Scope.RUNS_READ)


def _ignore(message: ClientMessage) -> None:
    """A watcher of everything has nothing to say."""
    del message
