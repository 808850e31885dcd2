"""Tokens: made, listed and revoked; and tickets, which open one stream once."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Response

from supervisor.wire import TicketRequest, TokenList, TokenRequest
from web.api.call import Call, answer, no_body

_LAST_DATE = 253402300799  # the end of year 9999


class RevokeQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of `DELETE /tokens/{jti}`."""

    until: Annotated[
        Annotated[int, Meta(ge=0, le=_LAST_DATE)] | UnsetType,
        Meta(
            description="The `exp` of a token that another issuer made, which this server cannot "
            "know: that long it is remembered.",
        ),
    ] = UNSET


async def create(call: Call) -> Response:
    """Makes a token. The answer is the only place where it is ever told."""
    request = await call.body(TokenRequest)
    return answer(await call.auth.tokens.issue(request, call.claims), HTTPStatus.CREATED)


async def list_tokens(call: Call) -> Response:
    """The tokens that were made here, newest first, without the tokens themselves."""
    return answer(TokenList(tuple(await call.auth.tokens.list_tokens(call.claims))))


async def revoke(call: Call, jti: str) -> Response:
    """Ends a token and every stream that was opened with it; harmless to ask again."""
    query = call.query(RevokeQuery)
    until = None if query.until is UNSET else datetime.fromtimestamp(query.until, UTC)
    await call.auth.tokens.revoke(jti, call.claims, until=until)
    return no_body(HTTPStatus.NO_CONTENT)


async def make_ticket(call: Call) -> Response:
    """Makes a ticket for a run's stream: good once, for seconds, and fit for an address."""
    request = await call.body(TicketRequest)
    run = await call.run(request.run)
    return answer(call.auth.tokens.make_ticket(run.id, call.claims), HTTPStatus.CREATED)
