"""What can happen to a log and to those who read it: the words of a script for `stage`."""

from __future__ import annotations

from msgspec import Struct

from supervisor.model import Stream


class Write(Struct, frozen=True):
    """Output, moved from a pipe or appended; `times` of it, with a turn after each."""

    stream: Stream
    data: bytes
    spliced: bool = False
    times: int = 1


class Turns(Struct, frozen=True):
    """Everybody who can go on does, so many times; None: until all wait."""

    count: int | None = None


class Join(Struct, frozen=True):
    """A viewer from `start` on, or without messages a plain cursor.

    `room` is whether it can be told at once, time after time; a `slow` one takes a turn for each
    message, and one that acknowledges nothing by itself is not `prompt`.
    """

    start: int = 0
    stream: Stream | None = None
    binary: bool = False
    plain: bool = False
    window: int | None = None
    room: tuple[bool, ...] = (True,)
    slow: bool = False
    prompt: bool = True


class Cut(Struct, frozen=True):
    """A reader loses its connection, or is asked to go; one that is cut comes again."""

    who: int
    politely: bool = False


class Seek(Struct, frozen=True):
    """A viewer goes elsewhere."""

    who: int
    where: int


class Ack(Struct, frozen=True):
    """A viewer acknowledges what it was told, or anything."""

    who: int
    offset: int | None = None


class Trim(Struct, frozen=True):
    """The oldest bytes are given back, those that are too many."""


class Kill(Struct, frozen=True):
    """The writer dies in so many moments, in the middle of what it does; another goes on."""

    moments: int
    written: int


class Restart(Struct, frozen=True):
    """Another server goes on with the log, and everybody comes again."""


class Happen(Struct, frozen=True):
    """An event of the run, so many bytes ago."""

    ago: int = 0


class Look(Struct, frozen=True):
    """Somebody reads from `start` to the end."""

    start: int = 0


class Search(Struct, frozen=True):
    """Somebody looks for NEEDLE, with so much read at once."""

    read: int = 7


AtOnce = Write | Join | Cut | Seek | Ack | Trim | Look


class During(Struct, frozen=True):
    """In so many moments `step`, whatever is under way then."""

    moments: int
    step: AtOnce


Step = AtOnce | Turns | Kill | Restart | Happen | Search | During
