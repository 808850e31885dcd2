"""The command doctor: what the machine allows, what a server makes of it, and what is in the way."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from supervisor.checkup import Finding, Level, check_address, check_up
from supervisor.cli.exitcodes import ExitCode
from supervisor.cli.output import print_facts, print_json
from supervisor.cli.server import present_file
from supervisor.client.address import socket_address
from supervisor.client.api import Client
from supervisor.config.missing import missing_here
from supervisor.config.settings import Settings, load, override
from supervisor.errors import ConfigError, RunwireError, ServerUnreachable

_PATIENCE_S = 5.0


@click.command()
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="The jobs.toml.")
@click.option("--bind", metavar="HOST:PORT", help="Where a server would listen.")
@click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path), help="Where state is kept."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(config: Path | None, bind: str | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Tell what this machine allows `runwire serve`, and what is in its way.

    It takes the same options as serve, starts nothing, and asks the server that runs, if one does.
    """
    settings, findings = _configuration(config or present_file())
    settings = override(settings, bind=bind, state_dir=state_dir)
    findings += check_up(settings)
    findings += _server(settings)
    if as_json:
        print_json(msgspec.json.encode({"findings": findings}))
    else:
        print_facts((it.subject, _line(it)) for it in findings)
    failed = any(it.level is Level.FAILURE for it in findings)
    raise click.exceptions.Exit(ExitCode.UNFIT if failed else ExitCode.OK)


def _configuration(path: Path | None) -> tuple[Settings, list[Finding]]:
    """The settings, and what is to be said of them; with mistakes, the defaults stand in."""
    name = "configuration"
    try:
        settings = load(path)
    except ConfigError as exc:
        return load(None), [Finding(name, Level.FAILURE, line) for line in exc.mistakes]
    if path is None:
        return settings, [Finding(name, Level.OK, "no jobs.toml here: defaults, and no jobs")]
    lines = (*settings.warnings, *missing_here(settings.jobs.values()))
    if lines:
        return settings, [Finding(name, Level.WARNING, line) for line in lines]
    return settings, [Finding(name, Level.OK, f"{path}: no mistakes")]


def _server(settings: Settings) -> list[Finding]:
    """How the server does that runs on this state directory; where one could listen if none does."""
    name = "server"
    try:
        answer = Client(socket_address(str(settings.web.socket)), timeout_s=_PATIENCE_S).readiness()
        ready = answer.value
    except ServerUnreachable:
        none = Finding(name, Level.OK, f"none runs at {settings.web.socket}")
        return [none, check_address(settings.web.bind)]
    except RunwireError as exc:
        return [Finding(name, Level.WARNING, exc.message)]
    found = [Finding(name, Level.FAILURE, problem) for problem in ready.problems]
    tracked = f"it tracks processes by {ready.tracking}" if ready.tracking else ""
    return [*found, Finding(name, Level.OK, f"one runs at {settings.web.socket}; {tracked}")]


def _line(finding: Finding) -> str:
    return finding.text if finding.level is Level.OK else f"{finding.level}: {finding.text}"
