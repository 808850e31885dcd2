"""The commands pause and resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from supervisor.cli import render
from supervisor.cli.exitcodes import code_of_error
from supervisor.cli.options import complete_run, json_option, server_options
from supervisor.cli.output import print_json, say_error
from supervisor.client.address import Address
from supervisor.client.api import Client, Reply
from supervisor.errors import RunwireError
from supervisor.wire import RunView

_run_arguments = click.argument(
    "run_ids", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run
)


@click.command()
@server_options
@json_option
@_run_arguments
def pause(address: Address, run_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Suspend runs: all their processes, until they are resumed or cancelled."""
    _each(Client(address).pause, run_ids, as_json=as_json)


@click.command()
@server_options
@json_option
@_run_arguments
def resume(address: Address, run_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Let paused runs go on."""
    _each(Client(address).resume, run_ids, as_json=as_json)


def _each(ask: Callable[[str], Reply[RunView]], run_ids: Sequence[str], *, as_json: bool) -> None:
    """Ask for each run; the exit code is that of the first for which it could not be done."""
    code = 0
    for run_id in run_ids:
        try:
            reply = ask(run_id)
        except RunwireError as exc:
            say_error(exc)
            code = code or code_of_error(exc)
            continue
        if as_json:
            print_json(reply.json)
        else:
            click.echo(f"{run_id}\t{render.how_it_is(reply.value)}")
    raise click.exceptions.Exit(code)
