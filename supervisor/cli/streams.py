"""Commands that show a run's output: run and logs."""

from __future__ import annotations

import sys

import click
import trio

from supervisor.cli.attach import APART, MERGED, NOWHERE, PATIENCE_S, run_attached, show
from supervisor.cli.exitcodes import ExitCode, code_of_run
from supervisor.cli.options import (
    CommandAfterDashes,
    json_option,
    run_argument,
    run_options,
    server_options,
)
from supervisor.cli.output import print_json, say, say_on_terminal, write_all
from supervisor.cli.render import how_it_is
from supervisor.client.address import Address
from supervisor.client.api import Client
from supervisor.client.follow import Wanted
from supervisor.client.follow import follow as follow_run
from supervisor.model import Reason, Status
from supervisor.wire import RunView, SubmitRequest


@click.command(cls=CommandAfterDashes)
@server_options
@json_option
@run_options
def run(address: Address, request: SubmitRequest, *, as_json: bool) -> None:
    """Submit a run, show its output while it happens, and exit with its own code.

    Its stdout and stderr become this command's, byte for byte. Ctrl-C cancels it, a second one
    kills it, a third one leaves it alone. With --json its output is not shown; the ended run is.
    """
    client = Client(address)
    ended = trio.run(run_attached, client, request, NOWHERE if as_json else APART)
    if ended is None:
        say(f"left alone: run {request.id} goes on")
        raise click.exceptions.Exit(ExitCode.INTERRUPTED)
    if as_json:
        print_json(client.run(ended.id).json)
    else:
        _tell_end(ended)
    raise click.exceptions.Exit(code_of_run(ended))


def _tell_end(ended: RunView) -> None:
    """What neither the output nor the exit code tells; the rest only to someone who watches."""
    if ended.status is Status.SUCCEEDED:
        return
    text = f"run {ended.id} {how_it_is(ended)}" + (f": {ended.message}" if ended.message else "")
    if ended.reason in (Reason.EXIT_CODE, Reason.SIGNAL):
        say_on_terminal(text)
    else:
        say(text)


@click.command()
@server_options
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option(
    "--from",
    "start",
    type=int,
    default=0,
    metavar="OFFSET",
    help="Begin at this byte of the log; below 0: so many before its end, at a line's start.",
)
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream's bytes.")
@run_argument
def logs(address: Address, run_id: str, *, follow: bool, start: int, stream: str | None) -> None:
    """Print a run's log as it was written, both streams in the order of their arrival.

    With -f it survives broken connections and restarts of the server without losing or doubling
    a byte.
    """
    client = Client(address)
    if not follow:
        sys.stdout.flush()
        for piece in client.log(run_id, start=start, stream=stream):
            write_all(1, piece)
        return
    client.run(run_id)  # a server that is not there, or a run, is told at once
    trio.run(_follow, address, run_id, Wanted(start=start, stream=stream))


async def _follow(address: Address, run_id: str, wanted: Wanted) -> None:
    async with follow_run(address, run_id, wanted, patience_s=PATIENCE_S) as updates:
        await show(updates, MERGED)
