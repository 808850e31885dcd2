"""Commands that need no server: serve is one, check reads a file, completion is for the shell."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from click.shell_completion import get_completion_class

from supervisor.cli.exitcodes import ExitCode
from supervisor.cli.output import print_json, say
from supervisor.config.missing import missing_here, refused_here
from supervisor.config.settings import load
from supervisor.errors import ConfigError

_DEFAULT_FILE = Path("jobs.toml")


@click.command()
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="The jobs.toml.")
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path), help="Where state is kept."
)
@click.option("--dev", is_flag=True, help="Accept the token devtoken, on loopback only.")
def serve(config: Path | None, bind: str | None, state_dir: Path | None, *, dev: bool) -> None:
    """Serve jobs.toml: run what is submitted until SIGTERM or Ctrl-C.

    Without --config it takes ./jobs.toml if there is one. It prints its URL once it can be used.
    The other flags override the file.
    """
    from supervisor.daemon import serve as serve_until_stopped  # noqa: PLC0415 - it imports it all

    serve_until_stopped(config=config or present_file(), bind=bind, state_dir=state_dir, dev=dev)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the mistakes as JSON.")
@click.argument("file", type=click.Path(path_type=Path), default=_DEFAULT_FILE)
def check(file: Path, *, as_json: bool) -> None:
    """Check a jobs.toml: every mistake with its file, line, job and key."""
    mistakes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    jobs = 0
    try:
        settings = load(file)
        missing = missing_here(settings.jobs.values())
        warnings = (*settings.warnings, *(f"{file}: {line}" for line in missing))
        mistakes = tuple(f"{file}: {line}" for line in refused_here(settings.jobs.values()))
        jobs = len(settings.jobs)
    except ConfigError as exc:
        mistakes = exc.mistakes
    if as_json:
        found = {"mistakes": mistakes, "warnings": warnings}
        print_json(msgspec.json.encode(found))
    else:
        for line in (*mistakes, *(f"warning: {warning}" for warning in warnings)):
            click.echo(line, err=True)
        if not mistakes:
            click.echo(f"{file}: {jobs} job{'' if jobs == 1 else 's'}, no mistakes")
    raise click.exceptions.Exit(ExitCode.CONFIG if mistakes else ExitCode.OK)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    For bash: runwire completion bash > ~/.local/share/bash-completion/completions/runwire
    """
    program = ctx.find_root().command
    source = get_completion_class(shell)
    if source is None:
        say(f"there is no completion for {shell}")
        raise click.exceptions.Exit(ExitCode.USAGE)
    click.echo(source(program, {}, "runwire", "_RUNWIRE_COMPLETE").source())


def present_file() -> Path | None:
    """The jobs.toml of this directory, if there is one."""
    return _DEFAULT_FILE if _DEFAULT_FILE.exists() else None
