"""Commands for the server as a service: reload, install-service and uninstall-service."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from supervisor.cli.exitcodes import ExitCode
from supervisor.cli.options import json_option, server_options
from supervisor.cli.output import print_json, say, say_error, say_on_terminal
from supervisor.client.address import Address
from supervisor.client.api import Client
from supervisor.config.settings import default_state_dir
from supervisor.errors import BadValue, ServerUnreachable
from supervisor.reloading import describe
from supervisor.serviceunits import (
    SINCE_254,
    UnitFile,
    check_ours,
    check_path,
    check_program,
    drop_ins,
    installed,
    system_files,
    user_files,
)
from supervisor.wire import DrainRequest

_SINCE_254 = 254
_LOOK_EVERY_S = 0.5
_UNITS = ("runwire.socket", "runwire.service")
_user_option = click.option("--user", is_flag=True, help="A service of yours, not of the machine.")
_dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done, only.")


@click.command()
@server_options
@json_option
def reload(address: Address, *, as_json: bool) -> None:
    """Have the server read jobs.toml again, and wait until it is in effect.

    A mistake in it changes nothing. Runs that were submitted keep what they were submitted with.
    """
    reply = Client(address).reload()
    if as_json:
        print_json(reply.json)
        return
    report = reply.value
    click.echo(describe(report))
    for warning in report.warnings:
        say(f"warning: {warning}")


@click.command()
@server_options
@click.option("--exit", "leave", is_flag=True, help="Have the server end after the last run.")
def drain(address: Address, *, leave: bool) -> None:
    """Have the server start no more runs, and wait until the last one has ended.

    What is queued stays queued for the next start of the server; new runs are refused.
    """
    client = Client(address)
    request = DrainRequest(exit=leave)
    told = None
    report = client.drain(request).value
    while report.running:
        if report != told:
            say_on_terminal(f"{report.running} running, {report.queued} stay queued")
            told = report
        time.sleep(_LOOK_EVERY_S)
        try:
            report = client.drain(request).value
        except ServerUnreachable:
            if not leave:
                raise
            break  # as it was told to
    click.echo(f"nothing runs; {report.queued} queued")


@click.command("install-service")
@_user_option
@click.option(
    "--drop-in",
    "chosen",
    multiple=True,
    type=click.Choice(drop_ins()),
    help="Another rule; see docs.",
)
@click.option("--now", is_flag=True, help="Enable and start it, too.")
@_dry_run_option
def install_service(*, user: bool, chosen: tuple[str, ...], now: bool, dry_run: bool) -> None:
    """Make Runwire a service of systemd; docs/operations.md tells of it.

    It shows each file and command. What is there already, such as your jobs.toml, is kept.
    """
    if user and chosen:
        raise click.UsageError("Drop-ins are rules for a service of the whole machine.")
    _need_root(user=user, dry_run=dry_run)
    since = (SINCE_254,) if _systemd_version() >= _SINCE_254 else ()
    files = list(_files((*since, *chosen), user=user))
    try:
        _check(user=user)
        check_ours(files)
    except BadValue as exc:
        if not dry_run:
            raise
        say_error(exc)
    for file in files:
        _put(file, dry_run=dry_run)
    if not user:
        _call(["systemd-sysusers", "/etc/sysusers.d/runwire.conf"], dry_run=dry_run)
        _call(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/runwire.conf"], dry_run=dry_run)
    systemctl = _systemctl(user=user)
    _call([*systemctl, "daemon-reload"], dry_run=dry_run)
    enable = [*systemctl, "enable", "--now", *_UNITS]
    if now:
        _call(enable, dry_run=dry_run)
    elif not dry_run:
        click.echo(f"now: {shlex.join(enable)}")


@click.command("uninstall-service")
@_user_option
@_dry_run_option
def uninstall_service(*, user: bool, dry_run: bool) -> None:
    """Stop the service and remove what install-service has put in place.

    Its jobs.toml and its state stay, and so does the user runwire, who owns that.
    """
    _need_root(user=user, dry_run=dry_run)
    found = installed(_files((), user=user))
    if not found:
        say("there is no service that install-service has put in place")
        raise click.exceptions.Exit(ExitCode.NOT_FOUND)
    systemctl = _systemctl(user=user)
    _call([*systemctl, "disable", "--now", *_UNITS], dry_run=dry_run)
    for path in found:
        click.echo(f"remove {path}")
        if not dry_run:
            path.unlink()
            if path.parent.name == "runwire.service.d" and not any(path.parent.iterdir()):
                path.parent.rmdir()
    _call([*systemctl, "daemon-reload"], dry_run=dry_run)


def _files(chosen: tuple[str, ...], *, user: bool) -> Iterator[UnitFile]:
    program = _program()
    if user:
        return user_files(program, _config_home(), default_state_dir(), chosen)
    return system_files(program, Path("/"), chosen)


def _check(*, user: bool) -> None:
    """Raises BadValue if it could not be started as it is."""
    if user:
        check_path(_program())
        check_path(default_state_dir())
    else:
        check_program(_program())


def _program() -> Path:
    return Path(sys.executable).with_name("runwire")


def _put(file: UnitFile, *, dry_run: bool) -> None:
    if file.keep and file.path.exists():
        click.echo(f"keep   {file.path}")
        return
    click.echo(f"write  {file.path}")
    if dry_run:
        return
    file.path.parent.mkdir(parents=True, exist_ok=True)
    # In one step: systemd may read it at any time.
    beside = file.path.with_name(f".{file.path.name}.new")
    beside.write_text(file.text, encoding="utf-8")
    beside.chmod(0o644)
    beside.replace(file.path)


def _call(command: Sequence[str], *, dry_run: bool) -> None:
    click.echo(f"run    {shlex.join(command)}")
    if not dry_run and subprocess.run(command, check=False).returncode != 0:
        say(f"this failed: {shlex.join(command)}")
        raise click.exceptions.Exit(ExitCode.UNFIT)


def _systemctl(*, user: bool) -> list[str]:
    """The command; a user's own manager is found also from a shell that su(1) or sudo(8) made."""
    if not user:
        return ["systemctl"]
    runtime = Path(f"/run/user/{os.getuid()}")
    if "XDG_RUNTIME_DIR" not in os.environ and runtime.is_dir():
        return ["env", f"XDG_RUNTIME_DIR={runtime}", "systemctl", "--user"]
    return ["systemctl", "--user"]


def _need_root(*, user: bool, dry_run: bool) -> None:
    if os.geteuid() != 0 and not user and not dry_run:
        raise click.UsageError("A service of the whole machine needs root; see --user.")


def _config_home() -> Path:
    chosen = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(chosen) if chosen.startswith("/") else Path.home() / ".config"


def _systemd_version() -> int:
    """Its number, 0 if there is none."""
    try:
        said = subprocess.run(
            ["systemctl", "--version"], capture_output=True, text=True, check=True
        )
        return int(said.stdout.split()[1])
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        return 0
