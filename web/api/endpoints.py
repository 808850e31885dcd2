"""Every endpoint there is, in one table: what is served, who may ask, and what the document says."""

from __future__ import annotations

from http import HTTPStatus as Http

from supervisor import errors
from supervisor.access.claims import Scope
from supervisor.log.hits import Hit, SearchEnd, SearchGap
from supervisor.spec import TerminalSize
from supervisor.wire import (
    CancelRequest,
    DrainReport,
    DrainRequest,
    EventList,
    InputTaken,
    JobList,
    JobView,
    NewTicket,
    NewToken,
    Readiness,
    ReloadReport,
    RunList,
    RunView,
    SignalRequest,
    SubmitRequest,
    TicketRequest,
    TokenList,
    TokenRequest,
)
from web.api import input as api_input
from web.api import jobs as api_jobs
from web.api import log as api_log
from web.api import runs as api_runs
from web.api import search as api_search
from web.api import server as api_server
from web.api import tokens as api_tokens
from web.api.route import Route

_STORAGE = (errors.StorageUnavailable,)
_TAKING = (errors.BadRequest, errors.BadValue, errors.ShuttingDown, *_STORAGE)
_READ = (Scope.RUNS_READ,)
_ADMIN = (Scope.ADMIN,)
_CANCEL = (Scope.RUNS_CANCEL,)
_START = (Scope.RUNS_SUBMIT, Scope.RUNS_EXEC)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/runs",
        handler=api_runs.submit,
        scopes=_START,
        body=SubmitRequest,
        answers={Http.CREATED: RunView, Http.OK: RunView},
        problems=(*_TAKING, errors.NoSuchJob, errors.RunIdTaken),
    ),
    Route(
        method="GET",
        path="/runs",
        handler=api_runs.list_runs,
        scopes=_READ,
        query=api_runs.ListQuery,
        answers={Http.OK: RunList},
        problems=(errors.BadValue, *_STORAGE),
    ),
    Route(
        method="GET",
        path="/runs/{id}",
        handler=api_runs.show,
        scopes=_READ,
        answers={Http.OK: RunView},
        problems=(errors.NoSuchRun, *_STORAGE),
    ),
    Route(
        method="DELETE",
        path="/runs/{id}",
        handler=api_runs.delete,
        scopes=_ADMIN,
        answers={Http.NO_CONTENT: None},
        problems=(errors.NoSuchRun, errors.RunNotEnded, *_STORAGE),
    ),
    Route(
        method="POST",
        path="/runs/{id}/cancel",
        handler=api_runs.cancel,
        scopes=_CANCEL,
        body=CancelRequest,
        body_required=False,
        answers={Http.ACCEPTED: RunView, Http.OK: RunView},
        problems=(
            errors.BadRequest,
            errors.BadValue,
            errors.NoSuchRun,
            errors.RunEnded,
            *_STORAGE,
        ),
    ),
    Route(
        method="POST",
        path="/runs/{id}/signal",
        handler=api_runs.signal,
        scopes=_CANCEL,
        body=SignalRequest,
        answers={Http.OK: RunView},
        problems=(
            errors.BadRequest,
            errors.BadValue,
            errors.NoSuchRun,
            errors.RunEnded,
            *_STORAGE,
        ),
    ),
    Route(
        method="POST",
        path="/runs/{id}/input",
        handler=api_input.send_input,
        scopes=(Scope.RUNS_INPUT,),
        query=api_input.InputQuery,
        raw_body=True,
        answers={Http.OK: InputTaken},
        problems=(
            errors.BadValue,
            errors.NoSuchRun,
            errors.InputClosed,
            errors.RunEnded,
            *_STORAGE,
        ),
    ),
    Route(
        method="POST",
        path="/runs/{id}/resize",
        handler=api_input.resize,
        scopes=(Scope.RUNS_INPUT,),
        body=TerminalSize,
        answers={Http.OK: RunView},
        problems=(
            errors.BadRequest,
            errors.BadValue,
            errors.NoSuchRun,
            errors.NoTerminal,
            errors.RunEnded,
            *_STORAGE,
        ),
    ),
    Route(
        method="POST",
        path="/runs/{id}/pause",
        handler=api_runs.pause,
        scopes=_CANCEL,
        answers={Http.OK: RunView},
        problems=(errors.NoSuchRun, errors.RunEnded, errors.RunNotRunning, *_STORAGE),
    ),
    Route(
        method="POST",
        path="/runs/{id}/resume",
        handler=api_runs.resume,
        scopes=_CANCEL,
        answers={Http.OK: RunView},
        problems=(errors.NoSuchRun, errors.RunEnded, errors.RunNotRunning, *_STORAGE),
    ),
    Route(
        method="POST",
        path="/runs/{id}/retry",
        handler=api_runs.retry,
        scopes=_START,
        answers={Http.CREATED: RunView},
        problems=(errors.NoSuchRun, errors.RunNotEnded, errors.ShuttingDown, *_STORAGE),
    ),
    Route(
        method="GET",
        path="/runs/{id}/events",
        handler=api_runs.events,
        scopes=_READ,
        answers={Http.OK: EventList},
        problems=(errors.NoSuchRun, *_STORAGE),
    ),
    Route(
        method="GET",
        path="/runs/{id}/log",
        handler=api_log.log,
        scopes=_READ,
        query=api_log.LogQuery,
        answers={Http.OK: None, Http.PARTIAL_CONTENT: None, Http.NOT_MODIFIED: None},
        problems=(errors.BadValue, errors.NoSuchRun, errors.RangeNotSatisfiable, *_STORAGE),
    ),
    Route(
        method="GET",
        path="/runs/{id}/log/search",
        handler=api_search.search,
        scopes=_READ,
        query=api_search.SearchQuery,
        answers={Http.OK: None},
        lines=(Hit, SearchGap, SearchEnd),
        problems=(
            errors.BadValue,
            errors.NoSuchRun,
            errors.RangeNotSatisfiable,
            errors.TooManySearches,
            *_STORAGE,
        ),
    ),
    Route(
        method="GET",
        path="/jobs",
        handler=api_jobs.list_jobs,
        scopes=_READ,
        answers={Http.OK: JobList},
        problems=_STORAGE,
    ),
    Route(
        method="GET",
        path="/jobs/{name}",
        handler=api_jobs.show_job,
        scopes=_READ,
        answers={Http.OK: JobView},
        problems=(errors.NoSuchJob, *_STORAGE),
    ),
    Route(
        method="POST",
        path="/tokens",
        handler=api_tokens.create,
        scopes=_ADMIN,
        body=TokenRequest,
        answers={Http.CREATED: NewToken},
        problems=(errors.BadRequest, errors.BadValue, *_STORAGE),
    ),
    Route(
        method="GET",
        path="/tokens",
        handler=api_tokens.list_tokens,
        scopes=_ADMIN,
        answers={Http.OK: TokenList},
        problems=_STORAGE,
    ),
    Route(
        method="DELETE",
        path="/tokens/{jti}",
        handler=api_tokens.revoke,
        scopes=_ADMIN,
        query=api_tokens.RevokeQuery,
        answers={Http.NO_CONTENT: None},
        problems=(errors.BadValue, errors.NoSuchToken, *_STORAGE),
    ),
    Route(
        method="POST",
        path="/tickets",
        handler=api_tokens.make_ticket,
        scopes=_READ,
        body=TicketRequest,
        answers={Http.CREATED: NewTicket},
        problems=(errors.BadRequest, errors.BadValue, errors.NoSuchRun, *_STORAGE),
    ),
    Route(
        method="POST",
        path="/reload",
        handler=api_server.reload,
        scopes=_ADMIN,
        answers={Http.OK: ReloadReport},
        problems=(errors.ConfigError,),
    ),
    Route(
        method="POST",
        path="/drain",
        handler=api_server.drain,
        scopes=_ADMIN,
        body=DrainRequest,
        body_required=False,
        answers={Http.ACCEPTED: DrainReport},
        problems=(errors.BadRequest, errors.BadValue),
    ),
    Route(
        method="GET",
        path="/healthz",
        handler=api_server.health,
        answers={Http.OK: api_server.Health},
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=api_server.ready,
        answers={
            Http.OK: Readiness,
            Http.SERVICE_UNAVAILABLE: Readiness,
        },
    ),
    Route(method="GET", path="/", handler=api_server.to_pages, answers={Http.FOUND: None}),
    Route(method="GET", path="/ui", handler=api_server.to_pages, answers={Http.FOUND: None}),
)
