"""What the follower of a run is told, and the messages that tell it (docs/protocol.md). Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from supervisor.errors import ProtocolError
from supervisor.frames import Output, decode_output
from supervisor.messages import StatusMessage
from supervisor.wire import RunView


class Gap(Struct, frozen=True, tag="gap"):
    """The bytes from `offset` up to, not including, `to` are not kept, for `reason`."""

    offset: int = msgspec.field(name="from")
    to: int
    reason: str

    @property
    def next(self) -> int:
        """The offset at which the log goes on."""
        return self.to


class End(Struct, frozen=True, tag="end"):
    """The run ended as `run` says; its log ends at `offset`, and all of it was told."""

    offset: int
    run: RunView


class Refusal(Struct, frozen=True, tag="error"):
    """Why the server is about to close the connection: `message` is for people."""

    code: str
    message: str


Update = Output | Gap | StatusMessage | End

_Text = Gap | StatusMessage | End | Refusal
_KINDS: dict[str, type[_Text]] = {
    "gap": Gap,
    "status": StatusMessage,
    "end": End,
    "error": Refusal,
}


class _Kind(Struct, frozen=True):
    type: str


def decode_message(message: str | bytes) -> Sequence[Update | Refusal]:
    """What a message of the binary form tells; nothing for kinds that need no attention.

    Raises ProtocolError for anything that is no such message. Text of a kind that is not known is
    what a newer server says to those who know it.
    """
    if isinstance(message, bytes):
        return decode_output(message)
    try:
        kind = _KINDS.get(msgspec.json.decode(message, type=_Kind).type)
        return [] if kind is None else [msgspec.json.decode(message, type=kind)]
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ProtocolError(f"the server sent what is no message of a stream: {exc}") from exc
