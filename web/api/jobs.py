"""Jobs: what can be submitted by name."""

from __future__ import annotations

from quart import Response

from supervisor.conditions import with_conditions
from supervisor.errors import NoSuchJob
from supervisor.model import Run
from supervisor.spec import Job, OutputMode
from supervisor.wire import JobList, JobView
from web.api.call import Call, answer


async def list_jobs(call: Call) -> Response:
    """All jobs, in the order of jobs.toml."""
    last = await call.supervisor.last_runs()
    jobs = [job for job in call.supervisor.jobs() if call.claims.covers_job(job.name)]
    return answer(JobList(tuple(_view(call, job, last.get(job.name)) for job in jobs)))


async def show_job(call: Call, name: str) -> Response:
    """One job."""
    if not call.claims.covers_job(name):
        raise NoSuchJob(f'there is no job "{name}"')
    job = call.supervisor.job(name)
    last = await call.supervisor.last_runs()
    return answer(_view(call, job, last.get(name)))


def _view(call: Call, job: Job, last: Run | None) -> JobView:
    seen = last is not None and call.claims.covers(last)
    view = JobView(
        name=job.name,
        description=job.description,
        command=job.command,
        shell=job.shell,
        cwd=job.cwd,
        params=job.params,
        stop=job.stop,
        timeout_s=job.timeout_s,
        queue_timeout_s=job.queue_timeout_s,
        no_output_timeout_s=job.no_output_timeout_s,
        concurrency=job.concurrency,
        priority=job.priority,
        autostart=job.autostart,
        log_limit=job.log_limit,
        output=job.output,
        stdin=job.stdin,
        terminal=job.terminal if job.output is OutputMode.PTY else None,
        tags=job.tags,
        last_run=call.view(last) if last is not None and seen else None,
    )
    return with_conditions(view, job)
