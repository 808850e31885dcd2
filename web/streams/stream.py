"""`/runs/{id}/stream`: one run's output and statuses, live from any offset.

What a viewer is told is `viewer`'s; who it is and how the connection ends is `conversation`'s.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from supervisor.access.claims import Claims, Scope
from supervisor.errors import BadValue, NoSuchRun
from supervisor.frames import BINARY
from supervisor.messages import Ack, ClientMessage, Hello, Input, Resize, Seek
from supervisor.model import Run, Stream
from supervisor.service import Supervisor
from supervisor.spec import TerminalSize
from supervisor.wire import RunView, show_run
from web.streams.batches import Batches
from web.streams.conversation import Conversation
from web.streams.forms import BinaryForm, JsonForm
from web.streams.keyboard import Keyboard
from web.streams.viewer import Viewer, Wish

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
    conversation: Conversation,
    supervisor: Supervisor,
    run_id: str,
    wish: Wish,
    batches: Batches,
) -> None:
    """Serve one viewer of a run to the end. Raises the RunwireError that ended it early.

    `wish` is what the address says; a client that says hello says there what it wishes. `batches`
    are those of all viewers.
    """
    if not conversation.authenticated:
        wish = read_wish(await conversation.wait_hello(stream_of=run_id))
    run = await supervisor.get(run_id)

    def admits(claims: Claims) -> None:
        may_watch(claims, run)

    admits(conversation.claims)
    events = await supervisor.history(run)
    form = BinaryForm() if conversation.subprotocol == BINARY else JsonForm()
    what = (run.seq, type(form), wish.stream)

    with supervisor.open_log(run) as view, batches.watching(what) as recent:
        viewer = Viewer(view, events, wish, form, recent, conversation.say_now)

        keyboard = Keyboard(supervisor, run.id, conversation)

        def heard(message: ClientMessage) -> None:
            match message:
                case Ack():
                    viewer.ack(message.offset)
                case Seek():
                    viewer.seek(message.from_)
                case Input():
                    keyboard.typed(message)
                case Resize():
                    keyboard.resized(TerminalSize(message.columns, message.rows))

        async def end() -> RunView:
            ended = await supervisor.wait_ended(run.id)
            return show_run(ended, supervisor.log_info(ended))

        await conversation.converse(viewer.messages(end), heard, admits, viewer.leave)


def may_watch(claims: Claims, run: Run) -> None:
    """Raise Forbidden without the scope, and NoSuchRun for a run that is out of reach."""
    claims.require(Scope.RUNS_READ)
    if not claims.covers(run):
        raise NoSuchRun(f"there is no run {run.id}")


def read_wish(said: StreamQuery | Hello) -> Wish:
    """What a client wants to see. Raises BadValue for what there is not."""
    if said.window is not None and said.window < 1:
        raise BadValue("window must be at least 1 byte", field="window")
    stream = _only_stream(said.streams)
    return Wish(start=said.from_, stream=stream, window=said.window, seq=said.seq)


def _only_stream(names: tuple[str, ...] | None) -> Stream | None:
    """The one stream that is wanted, None for both."""
    wanted = set(names or _STREAMS)
    if unknown := wanted - set(_STREAMS):
        raise BadValue(f'there is no stream "{min(unknown)}"', field="streams")
    return _STREAMS[wanted.pop()] if len(wanted) == 1 else None
