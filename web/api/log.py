"""`GET /runs/{id}/log`: the exact bytes, from any offset, once or as they come."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field
from quart import Response
from werkzeug.http import parse_etags

from supervisor.errors import BadValue
from supervisor.logview import LogView
from supervisor.model import Run, Stream
from web.api.call import Call, no_body
from web.api.logbody import LogBody, LogCursor, Wanted, raw_bytes, start_offset
from web.api.ranges import Kept, Span, span_from, span_of_range

MAX_OFFSET = 2**63 - 1
RAW_TYPE = "text/plain; charset=utf-8"

OFFSET_HEADER = "Runwire-Log-Offset"
OLDEST_HEADER = "Runwire-Log-Oldest"
SIZE_HEADER = "Runwire-Log-Size"

# Headers for every log: proxies are not to hold back what follows, caches have to ask again.
_ALWAYS = {"Cache-Control": "private, no-cache", "X-Accel-Buffering": "no"}


class LogQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of `GET /runs/{id}/log`."""

    start: Annotated[
        Annotated[int, Meta(ge=-MAX_OFFSET, le=MAX_OFFSET)] | UnsetType,
        Meta(
            description="Offset of the first byte; negative: that many bytes before the end, from "
            "the start of a line. The oldest kept byte if that one is gone.",
        ),
    ] = field(name="from", default=UNSET)
    stream: Annotated[
        Literal["stdout", "stderr"] | UnsetType, Meta(description="This stream's bytes alone.")
    ] = UNSET
    follow: Annotated[bool, Meta(description="Go on until the run has ended.")] = False
    download: Annotated[bool, Meta(description="Have a browser save it as a file.")] = False

    @property
    def only(self) -> Stream | None:
        """The stream that is wanted, None for all."""
        return Stream[self.stream.upper()] if self.stream else None


async def log(call: Call, run_id: str) -> Response:
    """The run's log."""
    query = call.query(LogQuery)
    run = await call.run(run_id)
    with call.supervisor.open_log(run) as view:
        complete = view.complete
        kept = Kept(view.reader.oldest, view.reader.size)
        tag = _etag(run, kept, query) if complete else None
        if tag is not None and _known(call, tag):
            return no_body(HTTPStatus.NOT_MODIFIED, {"ETag": f'"{tag}"', **_ALWAYS})
        span = _span(call, query, view, kept, tag)
        whole = not view.reader.ends_in_gap
        if len(span):
            view.reader.read(span.start, 1)  # what cannot be read is said while that can be said
    stop = None if query.follow and not complete else span.stop
    wanted = Wanted(span.start, stop, query.only)
    response = Response(
        b"" if call.head else _body(call, run, wanted),
        status=HTTPStatus.PARTIAL_CONTENT if span.partial else HTTPStatus.OK,
        content_type=RAW_TYPE,
        headers=_headers(query, span, kept, tag) | _ALWAYS,
    )
    if query.download:
        response.headers["Content-Disposition"] = f'attachment; filename="{run.id}.log"'
    response.headers.pop("Content-Length", None)
    if query.only is None and stop is not None and whole:
        response.headers["Content-Length"] = str(len(span))
    return response


def _span(call: Call, query: LogQuery, view: LogView, kept: Kept, tag: str | None) -> Span:
    """What to send. `Range` counts only where the bytes sent are those of the whole log."""
    header = call.request.headers.get("Range")
    if header is None or query.only is not None or query.follow:
        return span_from(start_offset(view, query.start or 0), kept)
    condition = call.request.headers.get("If-Range")
    if condition is not None and condition.strip() != f'"{tag}"':
        return span_from(start_offset(view, query.start or 0), kept)
    if query.start is not UNSET:
        raise BadValue("give either from or Range, not both", field="from")
    return span_of_range(header, kept) or span_from(0, kept)


def _body(call: Call, run: Run, wanted: Wanted) -> LogBody:
    check = call.auth.check_of(call.claims)

    def render(view: LogView) -> AsyncGenerator[bytes, None]:
        return raw_bytes(LogCursor(view, wanted, check))

    return LogBody(functools.partial(call.supervisor.open_log, run), render)


def _headers(query: LogQuery, span: Span, kept: Kept, tag: str | None) -> dict[str, str]:
    headers = {
        OFFSET_HEADER: str(span.start),
        OLDEST_HEADER: str(kept.oldest),
        SIZE_HEADER: str(kept.size),
    }
    if query.only is None and not query.follow:
        headers["Accept-Ranges"] = "bytes"
    if tag is not None:
        headers["ETag"] = f'"{tag}"'
    if span.partial:
        # While the run goes on, nobody knows how long its log will be.
        total = kept.size if tag is not None else "*"
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{total}"
    return headers


def _etag(run: Run, kept: Kept, query: LogQuery) -> str:
    """Names what an ended run's log consists of. `seq` tells runs apart that had the same id."""
    return f"{run.seq}-{kept.oldest}-{kept.size}-{query.stream or 'all'}"


def _known(call: Call, tag: str) -> bool:
    """Whether the client has it already (RFC 9110 section 13.1.2)."""
    header = call.request.headers.get("If-None-Match")
    return header is not None and parse_etags(header).contains_weak(tag)
