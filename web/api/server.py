"""The server itself: is it alive, is it ready, and where its pages are."""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct
from quart import Response

from supervisor.wire import DrainRequest, Readiness
from web.api.call import Call, answer, no_body


class Health(Struct, frozen=True):
    """`GET /healthz`: that there is an answer says it all."""

    status: str = "ok"


async def health(call: Call) -> Response:
    """The process is alive and its event loop turns."""
    del call
    return answer(Health())


async def ready(call: Call) -> Response:
    """200 if the server can do its work, 503 with the failing parts if not."""
    problems = tuple(await call.supervisor.check_ready())
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return answer(Readiness(not problems, problems, call.supervisor.tracking), status)


async def reload(call: Call) -> Response:
    """jobs.toml is read again; a mistake in it changes nothing."""
    return answer(await call.supervisor.reload())


async def drain(call: Call) -> Response:
    """No more runs are taken or started; those that run end by themselves."""
    request = await call.body(DrainRequest)
    return answer(call.supervisor.drain(leave=request.exit), HTTPStatus.ACCEPTED)


async def to_pages(call: Call) -> Response:
    """The way to the web pages."""
    return no_body(HTTPStatus.FOUND, {"Location": call.link("/ui/")})
