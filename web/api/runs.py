"""Runs: submit, list, show, stop, signal, retry, forget, and what happened to each."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated

import trio
from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Response

from supervisor.access.claims import Claims, Scope
from supervisor.errors import BadValue, Forbidden, NoSuchJob, RunEnded
from supervisor.model import Run, Status
from supervisor.runquery import RunQuery
from supervisor.service import Supervisor
from supervisor.spec import RunSpec
from supervisor.wire import (
    CancelRequest,
    EventList,
    RunList,
    SignalRequest,
    SubmitRequest,
    show_run,
)
from web.api.call import Call, answer, no_body
from web.problems import problem_of, problem_response

_CURSOR_BYTES = 8


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of `GET /runs`; all conditions hold together."""

    status: Annotated[
        tuple[Status, ...], Meta(description="Any of these; repeat it for several.")
    ] = ()
    job: Annotated[str | UnsetType, Meta(description="Runs of this job.")] = UNSET
    tag: Annotated[str | UnsetType, Meta(description="Runs with this tag.")] = UNSET
    q: Annotated[
        Annotated[str, Meta(max_length=256)] | UnsetType,
        Meta(description="Text in the run's id, job or command, in any case."),
    ] = UNSET
    limit: Annotated[int, Meta(ge=1, le=1000, description="At most this many.")] = 50
    before: Annotated[str | UnsetType, Meta(description="`next` of the page before.")] = UNSET


async def submit(call: Call) -> Response:
    """Takes a run in; it is on disk when the answer comes."""
    run, created = await take_in(call.supervisor, call.claims, await call.body(SubmitRequest))
    return _created(call, run) if created else answer(call.view(run))


async def take_in(
    supervisor: Supervisor, claims: Claims, request: SubmitRequest
) -> tuple[Run, bool]:
    """As `Supervisor.submit`, for whom it may be done. Raises what they deserve else."""
    claims.require(Scope.RUNS_EXEC if request.job is None else Scope.RUNS_SUBMIT)
    _check_covered(claims, job=request.job, run_id=request.id)
    return await supervisor.submit(request, claims.actor)


async def list_runs(call: Call) -> Response:
    """Runs, newest first."""
    query = call.query(ListQuery)
    page = await call.supervisor.list_runs(
        RunQuery(
            status=query.status,
            job=query.job or None,
            tag=query.tag or None,
            text=query.q or None,
            limit=query.limit,
            before=None if query.before is UNSET else seq_of(query.before),
            reach=call.claims.reach,
        )
    )
    views = []
    for run in page.runs:
        views.append(call.view(run))
        await trio.lowlevel.checkpoint()
    return answer(RunList(tuple(views), None if page.before is None else cursor_of(page.before)))


async def show(call: Call, run_id: str) -> Response:
    """One run."""
    run = await call.run(run_id)
    silent = await call.supervisor.silence(run)
    return answer(show_run(run, call.supervisor.log_info(run), silent))


async def cancel(call: Call, run_id: str) -> Response:
    """Stops a run; harmless to ask again."""
    request = await call.body(CancelRequest)
    before = await call.run(run_id)
    try:
        run = await call.supervisor.cancel(run_id, request, call.claims.actor)
    except RunEnded as error:
        ended = call.view(await call.run(run_id))
        return problem_response(problem_of(error, ended))
    begun = before.cancel_requested_at is None or request.force
    status = HTTPStatus.ACCEPTED if begun and not run.status.ended else HTTPStatus.OK
    return answer(call.view(run), status)


async def signal(call: Call, run_id: str) -> Response:
    """Sends one signal; the run's status stays."""
    request = await call.body(SignalRequest)
    await call.run(run_id)
    return answer(
        call.view(await call.supervisor.running.signal(run_id, request, call.claims.actor))
    )


async def pause(call: Call, run_id: str) -> Response:
    """Suspends a run's processes; harmless to ask again."""
    await call.run(run_id)
    return answer(call.view(await call.supervisor.running.pause(run_id, call.claims.actor)))


async def resume(call: Call, run_id: str) -> Response:
    """Lets a paused run go on; harmless to ask again."""
    await call.run(run_id)
    return answer(call.view(await call.supervisor.running.resume(run_id, call.claims.actor)))


async def retry(call: Call, run_id: str) -> Response:
    """A new run of the same spec."""
    old = await call.run(run_id)
    call.claims.require(_scope_of(old.spec))
    _check_covered(call.claims, job=old.spec.job, run_id=None)
    return _created(call, await call.supervisor.retry(run_id, call.claims.actor))


async def delete(call: Call, run_id: str) -> Response:
    """Forgets an ended run and its log."""
    await call.run(run_id)
    await call.supervisor.delete(run_id, call.claims.actor)
    return no_body(HTTPStatus.NO_CONTENT)


async def events(call: Call, run_id: str) -> Response:
    """What happened to the run, oldest first."""
    await call.run(run_id)
    return answer(EventList(tuple(await call.supervisor.events(run_id))))


def _created(call: Call, run: Run) -> Response:
    return answer(call.view(run), HTTPStatus.CREATED, {"Location": call.link(f"/runs/{run.id}")})


def _scope_of(spec: RunSpec) -> Scope:
    return Scope.RUNS_EXEC if spec.job is None else Scope.RUNS_SUBMIT


def _check_covered(claims: Claims, *, job: str | None, run_id: str | None) -> None:
    """Raise what a run outside the caller's globs deserves: they could not even see it."""
    if job is not None and not claims.covers_job(job):
        raise NoSuchJob(f'there is no job "{job}"', field="job")
    if job is None and claims.jobs is not None:
        raise Forbidden("this token is for some jobs only, and a command of its own is none")
    if not claims.covers_run_id(run_id):
        raise Forbidden("this token is for some runs only: give an id that it covers")


def cursor_of(seq: int) -> str:
    """Where a page ends, as clients get it: opaque, so that it may mean something else one day."""
    return base64.urlsafe_b64encode(seq.to_bytes(_CURSOR_BYTES)).decode().rstrip("=")


def seq_of(cursor: str) -> int:
    """The reverse of `cursor_of`. Raises BadValue."""
    try:
        raw = base64.b64decode(cursor.encode() + b"=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _CURSOR_BYTES or raw[0] & 0x80:
        raise BadValue("this is not the `next` of a page", field="before")
    return int.from_bytes(raw)
