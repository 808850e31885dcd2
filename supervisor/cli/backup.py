"""The commands backup and restore. They work on the files; backup also beside a working server."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from supervisor.backup import Backup, back_up
from supervisor.backup import restore as restore_backup
from supervisor.cli.output import print_json, say
from supervisor.cli.server import present_file
from supervisor.config.settings import load, override
from supervisor.units import MIB

_config_option = click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="The jobs.toml."
)
_state_dir_option = click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path), help="Where state is kept."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print what is in the backup.")


@click.command()
@_config_option
@_state_dir_option
@_json_option
@click.argument("directory", metavar="DEST", type=click.Path(path_type=Path))
def backup(config: Path | None, state_dir: Path | None, directory: Path, *, as_json: bool) -> None:
    """Copy all runs, their logs and the token key to DEST, a new directory.

    The server may be at work. Whoever can read DEST can make any token: it is for its owner alone.
    """
    made = back_up(_state_dir(config, state_dir), directory.absolute())
    _tell(f"backed up to {directory}", made, as_json=as_json)


@click.command()
@_config_option
@_state_dir_option
@click.option("--replace", is_flag=True, help="Move the state that is there aside.")
@_json_option
@click.argument("directory", metavar="SRC", type=click.Path(path_type=Path))
def restore(
    config: Path | None, state_dir: Path | None, directory: Path, *, replace: bool, as_json: bool
) -> None:
    """Make the backup SRC the state of a server that does not run.

    What ran when the backup was made is lost. The processes of another server are left alone.
    """
    state = _state_dir(config, state_dir)
    restored = restore_backup(directory.absolute(), state, replace=replace)
    _tell(f"restored to {state}", restored, as_json=as_json)


def _state_dir(config: Path | None, state_dir: Path | None) -> Path:
    settings = override(load(config or present_file()), state_dir=state_dir)
    return settings.supervisor.state_dir


def _tell(what: str, backup: Backup, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.json.encode(backup))
    else:
        runs = f"{backup.runs} run{'' if backup.runs == 1 else 's'}"
        say(f"{what}: {runs}, {backup.log_bytes / MIB:.1f} MiB of logs, {backup.created_at:%F %T}Z")
