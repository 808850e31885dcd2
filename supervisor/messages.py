"""The messages of a run's stream, as docs/protocol.md tells them. Pure: values in, JSON out."""

from __future__ import annotations

import codecs
import functools
from datetime import UTC, datetime

import msgspec
import orjson
from msgspec import Struct

from supervisor.errors import BadRequest, RunwireError
from supervisor.lifecycle import TRANSITIONS
from supervisor.model import (
    Actor,
    Cancelled,
    Dispatched,
    Event,
    Failed,
    Paused,
    ProgramExited,
    Reattached,
    Requeued,
    Resized,
    Resumed,
    Signalled,
    Started,
    Status,
    StopRequested,
    Stream,
    Submitted,
    Succeeded,
    event_name,
)
from supervisor.outcome import Exited, StopCause
from supervisor.spec import Characters, TerminalSize
from supervisor.wire import EventView, RunView

SEED_BYTES = 3
"""A character of UTF-8 has at most four bytes (RFC 3629), so an unfinished one at most three."""


class TextDecoder:
    """One stream's bytes as text, whatever the cuts; an unfinished character waits for its rest.

    Seeded with the bytes before the place where it begins, it says what one would that began at
    the very start: what a viewer is told depends on the log alone.
    """

    def __init__(self, seed: bytes = b"") -> None:
        """`seed` is what the stream said just before: its last SEED_BYTES, or all there are."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.unfinished = b""
        """The first bytes of a character whose rest has not come."""
        self.feed(seed)

    def feed(self, data: bytes) -> str:
        """The text that `data` completes."""
        if not self.unfinished and data.isascii():
            return data.decode("ascii")
        self._decoder.setstate((self.unfinished, 0))
        text = self._decoder.decode(data)
        self.unfinished = self._decoder.getstate()[0]
        return text

    def finish(self) -> str:
        """What is left when no more will come: empty, or U+FFFD for an unfinished character."""
        begun, self.unfinished = self.unfinished, b""
        return begun.decode("utf-8", "replace")


# --- from the server ---------------------------------------------------------------------------


def output_message(stream: Stream, text: str, *, offset: int, until: int, time_us: int) -> bytes:
    """`stdout` or `stderr`: `text` covers the log from `offset` up to `until`."""
    return orjson.dumps(
        {
            "type": stream.label,
            "data": text,
            "offset": offset,
            "next": until,
            "time": time_text(time_us),
        }
    )


def gap_message(offset: int, until: int, reason: str) -> bytes:
    """`gap`: the bytes from `offset` up to `until` are not kept, for `reason`."""
    return orjson.dumps({"type": "gap", "from": offset, "to": until, "reason": reason})


def seek_message(offset: int) -> bytes:
    """`seek`: as the client asked, what follows goes on from `offset`."""
    return orjson.dumps({"type": "seek", "from": offset})


def end_message(offset: int, run: RunView) -> bytes:
    """`end`: the run has ended, its log ends at `offset`, and all of it was sent."""
    return msgspec.json.encode({"type": "end", "offset": offset, "run": run})


def error_message(code: str, message: str) -> bytes:
    """`error`: why the connection is about to be closed."""
    return orjson.dumps({"type": "error", "code": code, "message": message})


def input_message(taken: int, error: RunwireError | None = None) -> bytes:
    """`input`: the answer to one: how many bytes were taken, and why no more, if not all were."""
    why = {} if error is None else {"code": error.code, "message": error.message}
    return orjson.dumps({"type": "input", "taken": taken, **why})


def resize_message(error: RunwireError) -> bytes:
    """`resize`: why the terminal could not be resized."""
    return orjson.dumps({"type": "resize", "code": error.code, "message": error.message})


PING = orjson.dumps({"type": "ping"})
"""`ping`: nothing happened for a while; the connection lives."""


class StatusMessage(Struct, frozen=True, kw_only=True, tag="status", omit_defaults=True):
    """`status`: what an event made of the run, at its place in the log."""

    data: Status
    event: str
    seq: int
    offset: int
    time: datetime
    text: str
    by: Actor
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    terminal: TerminalSize | None = None


def status_message(view: EventView, before: Status) -> StatusMessage:
    """What `view` made of a run that was `before`."""
    event = view.entry.event
    outcome = getattr(event, "outcome", None)
    exited = outcome if isinstance(outcome, Exited) else event
    return StatusMessage(
        data=TRANSITIONS[before].get(type(event), before),
        event=event_name(event),
        seq=view.run_seq,
        offset=view.entry.log_offset,
        time=view.entry.at.wall,
        text=describe(event),
        by=view.entry.by,
        exit_code=exited.exit_code if isinstance(exited, Exited | ProgramExited) else None,
        signal=exited.signal if isinstance(exited, Exited | ProgramExited) else None,
        reason=event.reason if isinstance(event, Failed) else None,
        terminal=event.terminal if isinstance(event, Resized) else None,
    )


def describe(event: Event) -> str:  # noqa: C901, PLR0911, PLR0912 - one line a case
    """The event in a few words for people."""
    match event:
        case Submitted():
            return "queued"
        case Dispatched():
            return "starting"
        case Requeued():
            return f"queued again: {event.message}"
        case Started():
            return f"started, pid {event.process.pid}" if event.process else "started"
        case Reattached():
            return "the server was restarted, and goes on with it"
        case StopRequested():
            return _describe_stop(event)
        case Signalled():
            target = event.step.target
            whom = "its control group" if target == "cgroup" else target
            return f"sent SIG{event.step.signal} to {whom}"
        case Paused():
            return "paused"
        case Resumed():
            return "resumed"
        case ProgramExited():
            how = f"SIG{event.signal}" if event.signal else f"exit code {event.exit_code}"
            held = ", ".join(f"{it.command} (pid {it.pid})" for it in event.holders)
            by = f", held by {held}" if held else ""
            return f"the program ended ({how}); its output is still open{by}"
        case Resized():
            size = event.terminal
            return f"its terminal has {size.columns} columns and {size.rows} rows"
        case Succeeded():
            return "succeeded"
        case Failed():
            return f"failed: {event.message}"
        case Cancelled():
            return f"cancelled: {event.message}"


def _describe_stop(event: StopRequested) -> str:
    request = event.request
    if request.force:
        how = "SIGKILL at once"
    else:
        how = f"SIG{request.policy.signal}, and SIGKILL after {request.policy.grace_s:g} s"
    match request.cause:
        case StopCause.CANCEL:
            return f"cancel asked for by {request.by.name}: {how}"
        case StopCause.TIMEOUT:
            return f"time limit reached: {how}"
        case StopCause.NO_OUTPUT_TIMEOUT:
            return f"it wrote nothing for too long: {how}"
        case StopCause.OUTPUT_LIMIT:
            return f"its log is full: {how}"
        case StopCause.SHUTDOWN:
            return f"the server is shutting down: {how}"


def time_text(time_us: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC."""
    return f"{_second_text(time_us // 1_000_000)}.{time_us % 1_000_000:06d}Z"


@functools.lru_cache(maxsize=64)
def _second_text(second: int) -> str:
    """Kept, since it takes as long as all else of a short message."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


# --- from the client ---------------------------------------------------------------------------


class Hello(Struct, frozen=True, kw_only=True, tag="hello", forbid_unknown_fields=True):
    """The first message: who is asking, and for what."""

    token: str | None = None
    from_: int = msgspec.field(default=0, name="from")
    streams: tuple[str, ...] | None = None
    window: int | None = None
    seq: int = 0
    since: int | None = None


class Ack(Struct, frozen=True, tag="ack", forbid_unknown_fields=True):
    """Everything before `offset` has been dealt with."""

    offset: int


class Seek(Struct, frozen=True, tag="seek", forbid_unknown_fields=True):
    """Go on from `from` instead."""

    from_: int = msgspec.field(name="from")


class Auth(Struct, frozen=True, tag="auth", forbid_unknown_fields=True):
    """A new token, before the old one expires."""

    token: str


class Input(Struct, frozen=True, tag="input", forbid_unknown_fields=True):
    """Text for the run to read; with `eof` that was all."""

    data: str = ""
    eof: bool = False


class Resize(Struct, frozen=True, tag="resize", forbid_unknown_fields=True):
    """Have the run's terminal be as large as this, in characters."""

    columns: Characters
    rows: Characters


class Pong(Struct, frozen=True, tag="pong", forbid_unknown_fields=True):
    """An answer to `ping`."""


ClientMessage = Hello | Ack | Seek | Auth | Input | Resize | Pong

_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)


def decode_client_message(said: str | bytes | None) -> ClientMessage:
    """What a client said. Raises BadRequest for anything that is no such message.

    Text is str, a binary message bytes, or None if it is empty.
    """
    if not isinstance(said, str):
        raise BadRequest("a client's messages are text, not binary")
    try:
        return _decoder.decode(said)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BadRequest(f"not a message of this protocol: {exc}") from exc
