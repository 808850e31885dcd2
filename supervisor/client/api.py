"""The HTTP client of the command line: one method for each call of the API.

It blocks, and is built on the standard library, because a command such as `runwire list` should
take no longer to start than to answer. `follow` is the part that streams.

Every method raises the error that the server raised (`NoSuchRun`, `RunEnded`, `Forbidden`...),
`ServerUnreachable` if nobody answers or the connection breaks, and `ProtocolError` if the answer
is none of Runwire's.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from supervisor.client.address import Address, target
from supervisor.client.refusal import refusal
from supervisor.client.tokenfile import with_current_token
from supervisor.errors import (
    Denied,
    NoSuchJob,
    NoSuchRun,
    NoSuchToken,
    ProtocolError,
    ServerUnreachable,
)
from supervisor.jobs.checks import is_run_id
from supervisor.log.hits import Finding, SearchEnd
from supervisor.spec import TerminalSize
from supervisor.wire import (
    CancelRequest,
    DrainReport,
    DrainRequest,
    EventList,
    InputTaken,
    JobList,
    JobView,
    NewToken,
    Readiness,
    ReloadReport,
    RunList,
    RunView,
    SignalRequest,
    SubmitRequest,
    TokenList,
    TokenRequest,
)

T = TypeVar("T")
_PIECE_BYTES = 64 * 1024
_PATIENCE_S = 60.0
_PAUSE_S = 0.2


_finding: msgspec.json.Decoder[Finding] = msgspec.json.Decoder(Finding)


class ConnectionBroke(ServerUnreachable):
    """The server was reached, but no whole answer came: it may have done what was asked, or not."""


class Reply(Generic[T]):
    """What the server answered: `json` exactly as it was sent, `value` as the type it is of."""

    def __init__(self, json: bytes, kind: type[T]) -> None:
        """Nothing is decoded until `value` is asked for."""
        self.json = json
        self._kind = kind

    @property
    def value(self) -> T:
        """The answer decoded. Raises ProtocolError if it is not what this call answers."""
        try:
            return msgspec.json.decode(self.json, type=self._kind)
        except msgspec.DecodeError as exc:
            raise _unreadable(exc) from exc


class RunFilter(Struct, frozen=True, kw_only=True):
    """Which runs to list; what is left out does not matter. `before` is a page's `next`."""

    status: tuple[str, ...] = ()
    job: str | None = None
    tag: str | None = None
    text: str | None = None
    limit: int | None = None
    before: str | None = None

    def query(self) -> dict[str, str | list[str]]:
        """As the query of `GET /runs`."""
        single = {
            "job": self.job,
            "tag": self.tag,
            "q": self.text,
            "limit": None if self.limit is None else str(self.limit),
            "before": self.before,
        }
        chosen: dict[str, str | list[str]] = {k: v for k, v in single.items() if v is not None}
        return chosen | ({"status": list(self.status)} if self.status else {})


class SearchWish(Struct, frozen=True, kw_only=True):
    """What to look for in a log, and where; as in the query of `GET /runs/{id}/log/search`."""

    text: str
    regex: bool = False
    any_case: bool = False
    stream: str | None = None
    context: int = 0
    limit: int = 1000
    start: int | None = None

    def query(self) -> dict[str, str | list[str]]:
        """As that query."""
        single = {
            "q": self.text,
            "regex": "1" if self.regex else None,
            "case": "0" if self.any_case else None,
            "stream": self.stream,
            "context": str(self.context) if self.context else None,
            "limit": str(self.limit),
            "from": None if self.start is None else str(self.start),
        }
        return {name: value for name, value in single.items() if value is not None}


class Client:
    """Calls a server. Every call is a connection of its own, so a client may be used by threads."""

    def __init__(self, address: Address, *, timeout_s: float = 60.0) -> None:
        """`timeout_s` bounds each wait for the server, not the whole call."""
        self.address = address
        self._timeout_s = timeout_s

    def submit(self, request: SubmitRequest) -> Reply[RunView]:
        """Asks for a run. It is on disk when this returns.

        If the connection breaks before the answer, a request with an id is sent again until
        `_PATIENCE_S` have passed: it makes one run however often it arrives.
        """
        give_up_at = time.monotonic() + _PATIENCE_S
        reached = False
        while True:
            try:
                return self._post("/runs", request, RunView)
            except ServerUnreachable as exc:
                reached = reached or isinstance(exc, ConnectionBroke)
                if not reached or request.id is None or time.monotonic() > give_up_at:
                    raise
            time.sleep(_PAUSE_S)

    def runs(self, wanted: RunFilter) -> Reply[RunList]:
        """One page of runs, newest first."""
        return self._get("/runs", RunList, wanted.query())

    def run(self, run_id: str) -> Reply[RunView]:
        """One run."""
        return self._get(run_path(run_id), RunView)

    def events(self, run_id: str) -> Reply[EventList]:
        """A run's history, oldest first."""
        return self._get(run_path(run_id, "/events"), EventList)

    def cancel(self, run_id: str, request: CancelRequest) -> Reply[RunView]:
        """Asks for a run's end; it may take as long as its grace. RunEnded if it had ended."""
        return self._post(run_path(run_id, "/cancel"), request, RunView)

    def signal(self, run_id: str, request: SignalRequest) -> Reply[RunView]:
        """Sends a run one signal."""
        return self._post(run_path(run_id, "/signal"), request, RunView)

    def input(self, run_id: str, data: bytes, *, eof: bool = False) -> Reply[InputTaken]:
        """Sends a run input, and closes that with `eof`; the answer tells how much was taken."""
        query: dict[str, str | list[str]] = {"eof": "1"} if eof else {}
        path = target(self.address, run_path(run_id, "/input"), query)
        with self._exchange("POST", path, data) as response:
            return Reply(response.read(), InputTaken)

    def pause(self, run_id: str) -> Reply[RunView]:
        """Suspends a run's processes."""
        return self._post(run_path(run_id, "/pause"), None, RunView)

    def resume(self, run_id: str) -> Reply[RunView]:
        """Lets a paused run go on."""
        return self._post(run_path(run_id, "/resume"), None, RunView)

    def resize(self, run_id: str, size: TerminalSize) -> Reply[RunView]:
        """Gives the terminal of a run another size."""
        return self._post(run_path(run_id, "/resize"), size, RunView)

    def retry(self, run_id: str) -> Reply[RunView]:
        """Asks for a new run of an ended run's spec."""
        return self._post(run_path(run_id, "/retry"), None, RunView)

    def readiness(self) -> Reply[Readiness]:
        """Whether the server can do its work; that it cannot is an answer, and no error."""
        path = target(self.address, "/readyz")
        with self._exchange("GET", path, None, allowed=HTTPStatus.SERVICE_UNAVAILABLE) as response:
            return Reply(response.read(), Readiness)

    def drain(self, request: DrainRequest) -> Reply[DrainReport]:
        """Has the server take no more runs; how many there still are."""
        path = target(self.address, "/drain")
        with self._exchange("POST", path, request, allowed=HTTPStatus.ACCEPTED) as response:
            return Reply(response.read(), DrainReport)

    def reload(self) -> Reply[ReloadReport]:
        """Has the server read jobs.toml again. Raises ConfigError with every mistake in it."""
        return self._post("/reload", None, ReloadReport)

    def jobs(self) -> Reply[JobList]:
        """All jobs, in the order of jobs.toml."""
        return self._get("/jobs", JobList)

    def job(self, name: str) -> Reply[JobView]:
        """One job."""
        if not is_run_id(name):  # names are as ids are
            raise NoSuchJob(f"there is no job {name!r}: no job can have such a name")
        return self._get(f"/jobs/{name}", JobView)

    def create_token(self, request: TokenRequest) -> Reply[NewToken]:
        """Asks for a token. The answer is the only time that it is told."""
        return self._post("/tokens", request, NewToken)

    def tokens(self) -> Reply[TokenList]:
        """The tokens that the server issued, without the tokens themselves."""
        return self._get("/tokens", TokenList)

    def revoke_token(self, jti: str, *, until: int | None = None) -> None:
        """Ends a token. `until` is the `exp` of one that another issuer made."""
        if not jti.strip(".") or "/" in jti:  # as a path it would be another one
            raise NoSuchToken(f"there is no token {jti!r}: no token can have such a name")
        query: dict[str, str | list[str]] = {} if until is None else {"until": str(until)}
        path = target(self.address, f"/tokens/{quote(jti, safe='')}", query)
        with self._exchange("DELETE", path, None):
            pass

    def log(self, run_id: str, *, start: int = 0, stream: str | None = None) -> Iterator[bytes]:
        """The log's bytes so far from offset `start`, merged or of one `stream`, in pieces.

        Raises ServerUnreachable if the connection breaks before the last one.
        """
        query: dict[str, str | list[str]] = {"from": str(start)}
        if stream is not None:
            query["stream"] = stream
        path = target(self.address, run_path(run_id, "/log"), query)
        with self._exchange("GET", path, None, accept="*/*") as response:
            while piece := response.read1(_PIECE_BYTES):
                yield piece
            if response.length:
                raise ConnectionBroke(f"the connection broke {response.length} bytes early")

    def search(self, run_id: str, wanted: SearchWish) -> Iterator[tuple[bytes, Finding]]:
        """What one search of a log finds, each as it was sent and as what it is; the end last.

        Raises ServerUnreachable if the connection breaks before the end.
        """
        path = target(self.address, run_path(run_id, "/log/search"), wanted.query())
        with self._exchange("GET", path, None, accept="application/x-ndjson") as response:
            for line in response:
                try:
                    found = _finding.decode(line)
                except msgspec.DecodeError as exc:
                    raise _unreadable(exc) from exc
                yield line, found
                if isinstance(found, SearchEnd):
                    return
        raise ConnectionBroke("the connection broke before the search had ended")

    def _get(
        self, path: str, kind: type[T], query: dict[str, str | list[str]] | None = None
    ) -> Reply[T]:
        with self._exchange("GET", target(self.address, path, query), None) as response:
            return Reply(response.read(), kind)

    def _post(self, path: str, body: Struct | None, kind: type[T]) -> Reply[T]:
        with self._exchange("POST", target(self.address, path), body) as response:
            return Reply(response.read(), kind)

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        body: Struct | bytes | None,
        *,
        accept: str = "application/json",
        allowed: HTTPStatus = HTTPStatus.OK,
    ) -> Iterator[http.client.HTTPResponse]:
        """One request and its answer, if that is a success, or `allowed`. Nothing foreign is raised."""
        headers = with_current_token(self.address).headers(accept) | {"Connection": "close"}
        if body is not None:
            is_bytes = isinstance(body, bytes)
            headers["Content-Type"] = "application/octet-stream" if is_bytes else "application/json"
        connection = _connection(self.address, self._timeout_s)
        try:
            connection.connect()
        except OSError as exc:
            raise unreachable(self.address, exc) from exc
        try:
            connection.request(method, path, body=_encoded(body), headers=headers)
            response = connection.getresponse()
            if response.status >= 300 and response.status != allowed:
                raise refusal(response.status, response.read())
            if response.length is None and not response.chunked:
                # Its end could not be told from a break; a head cut short looks so, too.
                raise http.client.IncompleteRead(b"")
            yield response
        except (OSError, http.client.HTTPException) as exc:
            raise ConnectionBroke(unreachable(self.address, exc).message) from exc
        finally:
            connection.close()


def _unreadable(exc: msgspec.DecodeError) -> ProtocolError:
    return ProtocolError(f"the server's answer cannot be read: {exc}")


def run_path(run_id: str, below: str = "") -> str:
    """The path of a run. Raises NoSuchRun for what cannot be an id: it could be another path."""
    if not is_run_id(run_id):
        raise NoSuchRun(f"there is no run {run_id!r}: no run can have such an id")
    return f"/runs/{run_id}{below}"


def unreachable(address: Address, exc: Exception) -> ServerUnreachable | Denied:
    """Why the server at `address` cannot be talked to, for a person."""
    if isinstance(exc, PermissionError) and address.socket is not None:
        return Denied(f"this user may not use the server's socket {address.socket}")
    if isinstance(exc, FileNotFoundError | ConnectionRefusedError):
        return ServerUnreachable(
            f"no server answers at {address.shown}: start one with `runwire serve`, "
            "or name another with --socket or --url"
        )
    if isinstance(exc, TimeoutError):
        return ServerUnreachable(f"the server at {address.shown} does not answer")
    why = str(exc) or type(exc).__name__
    return ServerUnreachable(f"the connection to {address.shown} failed: {why}")


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


def _connection(address: Address, timeout_s: float) -> http.client.HTTPConnection:
    if address.socket is not None:
        return _SocketConnection(address.socket, timeout_s)
    if address.scheme == "https":
        return http.client.HTTPSConnection(address.host, address.port, timeout=timeout_s)
    return http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)


def _encoded(body: Struct | bytes | None) -> bytes | None:
    return msgspec.json.encode(body) if isinstance(body, Struct) else body
