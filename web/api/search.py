"""`GET /runs/{id}/log/search`: where something stands in a log, told line by line as it is found."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field
from quart import Response

from supervisor.log.pattern import Pattern
from supervisor.log.search import LogSearch, Wanted
from supervisor.logview import LogView
from supervisor.model import Stream
from web.api.call import LINES_TYPE, Call
from web.api.log import MAX_OFFSET
from web.api.logbody import LogBody, start_offset
from web.api.ranges import Kept, span_from

_HEADERS = {"Cache-Control": "private, no-cache", "X-Accel-Buffering": "no"}


class SearchQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of `GET /runs/{id}/log/search`."""

    q: Annotated[str, Meta(min_length=1, max_length=1000, description="What to look for.")]
    regex: Annotated[bool, Meta(description="It is a regular expression of RE2.")] = False
    case: Annotated[bool, Meta(description="Tell upper and lower case apart.")] = True
    limit: Annotated[int, Meta(ge=1, le=1000, description="At most this many hits.")] = 100
    start: Annotated[
        Annotated[int, Meta(ge=-MAX_OFFSET, le=MAX_OFFSET)] | UnsetType,
        Meta(
            description="From the line on that has the byte at this offset; negative: that many "
            "bytes before the end. `next` of a search goes on after it.",
        ),
    ] = field(name="from", default=UNSET)
    stream: Annotated[
        Literal["stdout", "stderr"] | UnsetType, Meta(description="In this stream alone.")
    ] = UNSET
    context: Annotated[
        int, Meta(ge=0, le=10, description="So many lines of the stream before and after.")
    ] = 0


async def search(call: Call, run_id: str) -> Response:
    """Looks for text or a regular expression in the whole log."""
    query = call.query(SearchQuery)
    finder = Pattern(query.q, regex=query.regex, any_case=not query.case).compile()
    run = await call.run(run_id)
    with call.supervisor.open_log(run) as view:
        kept = Kept(view.reader.oldest, view.reader.size)
        begin = start_offset(view, query.start or 0)
        span_from(begin, kept)
    call.supervisor.searches.check_room()
    wanted = Wanted(
        start=begin,
        stream=Stream[query.stream.upper()] if query.stream else None,
        limit=query.limit,
        context=query.context,
    )
    check = call.auth.check_of(call.claims)

    async def lines(view: LogView) -> AsyncGenerator[bytes, None]:
        work = LogSearch(view.reader, finder, wanted, ended=view.complete)
        async with aclosing(call.supervisor.searches.run(work)) as batches:
            async for batch in batches:
                yield msgspec.json.Encoder().encode_lines(batch)
                if check is not None:
                    check()

    body = LogBody(functools.partial(call.supervisor.open_log, run), lines)
    response = Response(b"" if call.head else body, content_type=LINES_TYPE, headers=_HEADERS)
    response.headers.pop("Content-Length", None)
    return response
