"""`/runs/{id}/stream`: one run's output and statuses, live from any offset.

What a viewer is told is `viewer`'s; who it is and how the connection ends is `conversation`'s.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from supervisor.access import Claims, Scope
from supervisor.errors import BadValue, NoSuchRun
from supervisor.messages import Ack, ClientMessage, Hello, Seek
from supervisor.model import Run, Stream
from supervisor.service import Supervisor
from supervisor.wire import RunView, show_run
from web.conversation import BINARY, Conversation
from web.logbody import start_offset
from web.viewer import BinaryForm, JsonForm, Viewer, Wish

_STREAMS = {stream.label: stream for stream in Stream}


class StreamQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may stand in the address of a stream."""

    from_: int = msgspec.field(default=0, name="from")
    streams: tuple[str, ...] = ()
    window: int | None = None
    seq: int = 0
    token: str | None = None
    run_id: str | None = msgspec.field(default=None, name="runId")


async def stream_run(
    conversation: Conversation, supervisor: Supervisor, run_id: str, query: StreamQuery
) -> None:
    """Serve one viewer of a run to the end. Raises the RunwireError that ended it early."""
    hello = Hello(
        from_=query.from_, streams=query.streams or None, window=query.window, seq=query.seq
    )
    if not conversation.authenticated:
        hello = await conversation.wait_hello(stream_of=run_id)
    run = await supervisor.get(run_id)

    def admits(claims: Claims) -> None:
        may_watch(claims, run)

    admits(conversation.claims)
    events = await supervisor.history(run)
    with supervisor.open_log(run) as view:
        viewer = Viewer(
            view, events, _wish(hello, start_offset(view, hello.from_)), _form(conversation)
        )

        def heard(message: ClientMessage) -> None:
            match message:
                case Ack():
                    viewer.ack(message.offset)
                case Seek():
                    viewer.seek(start_offset(view, message.from_))

        async def end() -> RunView:
            ended = await supervisor.wait_ended(run.id)
            return show_run(ended, supervisor.log_info(ended))

        await conversation.converse(viewer.messages(end), heard, admits)


def may_watch(claims: Claims, run: Run) -> None:
    """Raise Forbidden without the scope, and NoSuchRun for a run that is out of reach."""
    claims.require(Scope.RUNS_READ)
    if not claims.covers(run):
        raise NoSuchRun(f"there is no run {run.id}")


def _form(conversation: Conversation) -> BinaryForm | JsonForm:
    return BinaryForm() if conversation.subprotocol == BINARY else JsonForm()


def _wish(hello: Hello, start: int) -> Wish:
    if hello.window is not None and hello.window < 1:
        raise BadValue("window must be at least 1 byte", field="window")
    return Wish(start=start, stream=_only_stream(hello.streams), window=hello.window, seq=hello.seq)


def _only_stream(names: tuple[str, ...] | None) -> Stream | None:
    """The one stream that is wanted, None for both."""
    wanted = set(names or _STREAMS)
    if unknown := wanted - set(_STREAMS):
        raise BadValue(f'there is no stream "{min(unknown)}"', field="streams")
    return _STREAMS[wanted.pop()] if len(wanted) == 1 else None
