"""`runwire token`: makes, lists and revokes tokens, and shows what one says."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from supervisor.cli.colour import to_terminal
from supervisor.cli.options import json_option, server_options
from supervisor.cli.output import print_facts, print_json, print_table, say_on_terminal
from supervisor.cli.render import moment
from supervisor.client.address import Address
from supervisor.client.api import Client
from supervisor.client.tokentext import is_date, is_token, read_token
from supervisor.units import show_duration
from supervisor.wire import TokenRequest, TokenView

_HEADINGS = ("JTI", "FOR", "SCOPE", "EXPIRES", "STATE")


@click.group()
def token() -> None:
    """Make, list and revoke tokens, or show what one says."""


@token.command()
@server_options
@json_option
@click.option("--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="A right.")
@click.option("--sub", metavar="NAME", help="Who it is for.  [default: you]")
@click.option("--run", "runs", multiple=True, metavar="GLOB", help="Only runs with such an id.")
@click.option("--job", "jobs", multiple=True, metavar="GLOB", help="Only runs of such a job.")
@click.option("--lifetime", metavar="DURATION", default="24h", help="[default: 24h]")
def create(  # noqa: PLR0913 - one for each flag
    address: Address,
    /,
    *,
    as_json: bool,
    scopes: tuple[str, ...],
    sub: str | None,
    runs: tuple[str, ...],
    jobs: tuple[str, ...],
    lifetime: str,
) -> None:
    """Make a token and print it. It is told this once and stored nowhere.

    Scopes are runs:read, runs:submit, runs:exec, runs:cancel, runs:input, metrics:read and
    admin. In a glob * stands for any text and ? for one character.
    """
    request = TokenRequest(
        scope=" ".join(scopes), sub=sub, runs=runs or None, jobs=jobs or None, lifetime=lifetime
    )
    reply = Client(address).create_token(request)
    if as_json:
        print_json(reply.json)
        return
    new = reply.value
    say_on_terminal(f"token {new.jti} for {new.sub} until {moment(new.expires_at)}: {new.scope}")
    click.echo(new.token)


@token.command("list")
@server_options
@json_option
def list_(address: Address, /, *, as_json: bool) -> None:
    """List the tokens that the server made, newest first, without the tokens themselves."""
    reply = Client(address).tokens()
    if as_json:
        print_json(reply.json)
        return
    now = datetime.now(UTC)
    rows = [_row(view, now) for view in reply.value.tokens]
    print_table(_HEADINGS if to_terminal() else (), rows)


@token.command()
@server_options
@click.argument("names", metavar="JTI|TOKEN...", nargs=-1, required=True)
def revoke(address: Address, /, *, names: tuple[str, ...]) -> None:
    """Revoke tokens by name (jti), and end every stream that was opened with them.

    A whole token is good too, also one that another issuer made; - reads one from stdin.
    """
    client = Client(address)
    for name in names:
        text = _from_stdin() if name == "-" else name
        if is_token(text):
            said = read_token(text)
            client.revoke_token(said.jti, until=said.until)
        else:
            client.revoke_token(text)


@token.command()
@json_option
@click.argument("text", metavar="TOKEN", default="-")
def inspect(text: str, *, as_json: bool) -> None:
    """Show what a token says, without a server and without checking who signed it.

    Without TOKEN, or with -, it is read from stdin.
    """
    said = read_token(_from_stdin() if text == "-" else text)
    if as_json:
        print_json(msgspec.json.encode({"header": said.header, "claims": said.claims}))
        return
    print_facts([*_facts(said.header), *_facts(said.claims), ("checked", "nothing of it")])


def _from_stdin() -> str:
    return sys.stdin.read().strip()


def _facts(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _shown(name, value)) for name, value in said.items()]


def _shown(name: str, value: object) -> str:
    if name in ("exp", "nbf", "iat") and is_date(value):
        at = datetime.fromtimestamp(float(str(value)), UTC)
        past = name == "exp" and at <= datetime.now(UTC)
        return moment(at) + (", which is over" if past else "")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _row(view: TokenView, now: datetime) -> tuple[str, ...]:
    left_s = int((view.expires_at - now).total_seconds())
    expires = f"in {show_duration(left_s)}" if to_terminal() and left_s > 0 else ""
    narrowed = "".join(
        f" {kind}={','.join(globs)}"
        for kind, globs in (("runs", view.runs), ("jobs", view.jobs))
        if globs is not None
    )
    state = "revoked" if view.revoked_at is not None else "good" if left_s > 0 else "expired"
    return (
        view.jti,
        view.sub,
        view.scope + narrowed,
        expires or msgspec.json.encode(view.expires_at).decode().strip('"'),
        state,
    )
