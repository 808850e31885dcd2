"""Commands about runs that ask the server once: submit, list, show, signal, retry, jobs."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from supervisor.cli import render
from supervisor.cli.colour import to_terminal
from supervisor.cli.options import (
    CommandAfterDashes,
    complete_job,
    json_option,
    run_argument,
    run_options,
    scope_of,
    scope_option,
    server_options,
)
from supervisor.cli.output import print_facts, print_json, print_table, say
from supervisor.client.address import Address
from supervisor.client.api import Client, Reply, RunFilter
from supervisor.model import Status
from supervisor.spec import StopScope
from supervisor.wire import RunView, SignalRequest, SubmitRequest


@click.command(cls=CommandAfterDashes)
@server_options
@json_option
@run_options
def submit(address: Address, request: SubmitRequest, *, as_json: bool) -> None:
    """Submit a run of JOB, or of a command after --, and print its id.

    The run is on disk when the id is printed.
    """
    _print_id(Client(address).submit(request), as_json=as_json)


@click.command("list")
@server_options
@json_option
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in Status]),
    help="Only these.",
)
@click.option("--job", metavar="NAME", help="Only runs of this job.")
@click.option("--tag", metavar="TAG", help="Only runs with this tag.")
@click.option("-q", "--text", metavar="TEXT", help="Only runs with this in id, job or command.")
@click.option("-n", "--limit", type=click.IntRange(1), help="At most so many.  [default: 50]")
@click.option("--before", metavar="CURSOR", help="Go on with the next page.")
def list_(  # noqa: PLR0913 - one for each flag
    address: Address,
    /,
    *,
    as_json: bool,
    statuses: tuple[str, ...],
    job: str | None,
    tag: str | None,
    text: str | None,
    limit: int | None,
    before: str | None,
) -> None:
    """List runs, newest first."""
    wanted = RunFilter(status=statuses, job=job, tag=tag, text=text, limit=limit, before=before)
    reply = Client(address).runs(wanted)
    if as_json:
        print_json(reply.json)
        return
    page = reply.value
    now = datetime.now(UTC)
    if to_terminal():
        print_table(render.RUN_HEADINGS, (render.run_row(run, now) for run in page.runs))
    else:
        print_table((), map(render.run_fields, page.runs))
    if page.next is not None:
        say(f"there are more: --before {page.next}")


@click.command()
@server_options
@json_option
@click.option("--events", is_flag=True, help="Print the run's history instead.")
@run_argument
def show(address: Address, run_id: str, *, as_json: bool, events: bool) -> None:
    """Show everything about a run, what a stop did to it included."""
    client = Client(address)
    if events:
        history = client.events(run_id)
        if as_json:
            print_json(history.json)
        else:
            print_table(render.EVENT_HEADINGS, map(render.event_row, history.value.events))
        return
    reply = client.run(run_id)
    if as_json:
        print_json(reply.json)
    else:
        print_facts(render.run_facts(reply.value))


@click.command()
@server_options
@json_option
@run_argument
@scope_option("Whom it is for.  [default: tree]")
@click.argument("signal")
def signal(address: Address, run_id: str, signal: str, *, scope: str | None, as_json: bool) -> None:
    """Send a running run one signal, such as HUP. Its status does not change."""
    wish = SignalRequest(signal, scope_of(scope) or StopScope.TREE)
    reply = Client(address).signal(run_id, wish)
    if as_json:
        print_json(reply.json)


@click.command()
@server_options
@json_option
@run_argument
def retry(address: Address, run_id: str, *, as_json: bool) -> None:
    """Submit a new run that executes what an ended one did, and print its id."""
    _print_id(Client(address).retry(run_id), as_json=as_json)


@click.command()
@server_options
@json_option
@click.argument("name", metavar="[JOB]", required=False, shell_complete=complete_job)
def jobs(address: Address, name: str | None, *, as_json: bool) -> None:
    """List the jobs that can be submitted, or show one with its parameters."""
    client = Client(address)
    if name is not None:
        one = client.job(name)
        if as_json:
            print_json(one.json)
        else:
            print_facts(render.job_facts(one.value))
        return
    reply = client.jobs()
    if as_json:
        print_json(reply.json)
    else:
        print_table(render.JOB_HEADINGS, map(render.job_row, reply.value.jobs))


def _print_id(reply: Reply[RunView], *, as_json: bool) -> None:
    if as_json:
        print_json(reply.json)
    else:
        click.echo(reply.value.id)
