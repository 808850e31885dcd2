"""Commands that may be for several runs at once: cancel, pause and resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from supervisor.cli import render
from supervisor.cli.exitcodes import code_of_error
from supervisor.cli.options import (
    complete_run,
    json_option,
    scope_of,
    scope_option,
    server_options,
)
from supervisor.cli.output import print_json, say_error
from supervisor.client.address import Address
from supervisor.client.api import Client, Reply
from supervisor.errors import RunwireError
from supervisor.wire import CancelRequest, RunView

_run_arguments = click.argument(
    "run_ids", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_run
)


@click.command()
@server_options
@json_option
@click.option("--force", is_flag=True, help="Kill at once.")
@click.option("--signal", metavar="NAME", help="Send this instead of the run's own stop signal.")
@click.option("--grace", metavar="DURATION", help="From that signal to KILL, such as 30s.")
@scope_option("Whom that signal is for.")
@click.option("--wait", is_flag=True, help="Return when the runs have ended.")
@_run_arguments
def cancel(  # noqa: PLR0913 - one for each flag
    address: Address,
    run_ids: tuple[str, ...],
    *,
    as_json: bool,
    force: bool,
    signal: str | None,
    grace: str | None,
    scope: str | None,
    wait: bool,
) -> None:
    """Cancel runs: stop each one with its whole process tree.

    Cancelling a run that is already cancelled, or being cancelled, is no error; with --force the
    second time kills. A run that ended otherwise stays what it is, and that is an error.
    """
    client = Client(address)
    wish = CancelRequest(signal=signal, grace=grace, scope=scope_of(scope), force=force)

    def ask(run_id: str) -> Reply[RunView]:
        reply = client.cancel(run_id, wish)
        return _ended(client, reply) if wait else reply

    _each(ask, run_ids, as_json=as_json)


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


def _ended(client: Client, reply: Reply[RunView]) -> Reply[RunView]:
    """The run as it ended."""
    if not reply.value.status.ended:
        import trio  # noqa: PLC0415 - only those who wait pay for it

        from supervisor.cli.attach import wait_ended  # noqa: PLC0415 - as above

        trio.run(wait_ended, client, reply.value)
    return client.run(reply.value.id)
