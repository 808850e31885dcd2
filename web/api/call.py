"""One request as its handler sees it: what was asked, by whom, and how to answer.

Bodies and queries become frozen values here, and nothing behind this sees anything else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from msgspec import Struct
from quart import Request, Response
from quart_trio.wrappers import TrioResponse

from supervisor.access.claims import Claims
from supervisor.config.settings import WebSettings
from supervisor.errors import BadRequest, BadValue, NoSuchRun
from supervisor.jobs.checks import is_run_id
from supervisor.model import Run
from supervisor.service import Supervisor
from supervisor.suggest import did_you_mean
from supervisor.wire import RunView, show_run
from web.auth.auth import Auth
from web.problems import HttpProblem

T = TypeVar("T", bound=Struct)

JSON = "application/json"
LINES_TYPE = "application/x-ndjson"
"""One JSON object a line."""
_PLACE = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)


class Call:
    """A request that passed authentication."""

    def __init__(
        self,
        request: Request,
        claims: Claims,
        supervisor: Supervisor,
        settings: WebSettings,
        auth: Auth,
    ) -> None:
        """Made once for each request."""
        self.request = request
        self.claims = claims
        self.auth = auth
        self.supervisor = supervisor
        self.settings = settings

    @property
    def head(self) -> bool:
        """Whether only the headers of the answer are wanted."""
        return self.request.method == "HEAD"

    def query(self, kind: type[T]) -> T:
        """The query as a `kind`. Raises BadValue naming the parameter."""
        return decode_query(self.request.args.to_dict(flat=False), kind)

    async def body(self, kind: type[T]) -> T:
        """The JSON body as a `kind`; no body at all is `{}`, which `kind` may or may not allow.

        Raises HttpProblem 415, BadRequest if it is no JSON, BadValue naming the field.
        """
        data = await self.request.get_data()
        if not data:
            return decode_body(b"{}", kind)
        if self.request.mimetype != JSON:
            raise HttpProblem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must have Content-Type: {JSON}"
            )
        return decode_body(data, kind)

    async def bytes(self) -> bytes:
        """The body as it is, of whatever type."""
        data = await self.request.get_data()
        return data.encode() if isinstance(data, str) else data

    async def run(self, run_id: str) -> Run:
        """The run, if it exists and the caller may know of it. Raises NoSuchRun."""
        run = await self.supervisor.get(check_run_id(run_id))
        if not self.claims.covers(run):
            raise NoSuchRun(f"there is no run {run_id}")
        return run

    def view(self, run: Run) -> RunView:
        """The run as the API shows it."""
        return show_run(run, self.supervisor.log_info(run))

    def link(self, path: str) -> str:
        """A path of ours as clients have to ask for it."""
        return self.settings.base_path + path


def check_run_id(text: str) -> str:
    """`text`, if a run can have this id. Raises NoSuchRun."""
    if not is_run_id(text):
        raise NoSuchRun("there is no such run: no run can have this id")
    return text


def answer(
    value: Struct, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """`value` as JSON."""
    return Response(
        msgspec.json.encode(value), status=status, headers=dict(headers or {}), content_type=JSON
    )


def no_body(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that is all in its status and headers."""
    response = TrioResponse(status=status, headers=dict(headers or {}))
    del response.headers["Content-Type"]
    return response


def decode_body(data: bytes | str | msgspec.Raw, kind: type[T]) -> T:
    """JSON as a `kind`. Raises BadRequest if it is none, BadValue naming the field."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise bad_value(error, kind) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error


def decode_query(given: Mapping[str, list[str]], kind: type[T]) -> T:
    """A query's parameters as a `kind`. Raises BadValue naming the parameter."""
    many = _many(kind)
    values: dict[str, object] = {}
    for name, texts in given.items():
        if len(texts) > 1 and name not in many:
            raise BadValue(f"{name} is given more than once", field=name)
        values[name] = texts if name in many else texts[0]
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise bad_value(error, kind) from error


@functools.cache
def _many(kind: type[Struct]) -> frozenset[str]:
    """The parameters that may be given more than once."""
    fields = msgspec.structs.fields(kind)
    return frozenset(field.encode_name for field in fields if isinstance(field.default, tuple))


def bad_value(error: msgspec.ValidationError, kind: type[Struct]) -> BadValue:
    """What msgspec found wrong, as our error: in words, with the field's name."""
    text = str(error)
    place = _PLACE.search(text)
    path = place["path"] if place else ""
    what = text[: place.start()] if place else text
    unknown = _UNKNOWN.match(what)
    if unknown:
        name = unknown["name"]
        known = () if path else [field.encode_name for field in msgspec.structs.fields(kind)]
        where = f"{path}.{name}" if path else name
        return BadValue(f"there is no {where}{did_you_mean(name, known)}", field=where)
    what = _plainly(what)
    return BadValue(f"{path}: {what}" if path else what, field=path or None)


def _plainly(what: str) -> str:
    """msgspec's complaint without its notation."""
    what = what.replace(" | null`", "`").replace("Expected `object`", "expected an object")
    what = what.replace("Expected `int`", "expected a whole number")
    what = what.replace("Expected `bool`", "expected true or false")
    return what[:1].lower() + what[1:]
