"""What a search of a log answers with, one JSON object a line, as docs/http.md tells it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct, field

StreamName = Literal["stdout", "stderr"]


class Hit(Struct, frozen=True, kw_only=True, tag_field="type", tag="hit"):
    """A line in which something was found.

    `offset` and `length` (bytes) are those of its first match, `line` is where the line begins,
    and `time` when it began. `text` is the line, or of a long one (`cut`) the part around the
    match, which is its characters `at[0]` up to, not including, `at[1]`. `whole` is False for
    what is not known to be a line from its beginning to its newline. `before` and `after` are
    neighbouring lines of the same stream, in order.
    """

    stream: StreamName
    line: int
    offset: int
    length: int
    time: datetime
    text: str
    at: tuple[int, int]
    cut: bool = False
    whole: bool = True
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class SearchGap(Struct, frozen=True, tag_field="type", tag="gap"):
    """Nothing could be searched from `start` up to, not including, `to`: it is not kept."""

    start: int = field(name="from")
    to: int
    reason: str


class SearchEnd(Struct, frozen=True, kw_only=True, tag_field="type", tag="end"):
    """The last line: `complete` if all of the log as it was at the beginning was searched.

    Else `stopped` says what ran out, and a search from `next` goes on. `searched` counts the bytes
    that were looked at, `hits` the hits.
    """

    complete: bool
    stopped: Literal["end", "limit", "time", "size"]
    next: int
    searched: int
    hits: int


Finding = Hit | SearchGap | SearchEnd
