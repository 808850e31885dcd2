"""The command `runwire`: finds the command, runs it, and turns errors into a line and a code.

A command's module is imported when the command is used, so that `list` does not wait for what
only `serve` needs.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import MappingProxyType

import click

from supervisor.cli.exitcodes import ExitCode, code_of_error
from supervisor.cli.output import say, say_error
from supervisor.errors import RunwireError

_MODULES = MappingProxyType(
    {
        "serve": "supervisor.cli.server",
        "submit": "supervisor.cli.runs",
        "run": "supervisor.cli.streams",
        "list": "supervisor.cli.runs",
        "show": "supervisor.cli.runs",
        "logs": "supervisor.cli.streams",
        "search": "supervisor.cli.search",
        "cancel": "supervisor.cli.several",
        "signal": "supervisor.cli.runs",
        "input": "supervisor.cli.input",
        "pause": "supervisor.cli.several",
        "resume": "supervisor.cli.several",
        "retry": "supervisor.cli.runs",
        "jobs": "supervisor.cli.runs",
        "token": "supervisor.cli.token",
        "check": "supervisor.cli.server",
        "reload": "supervisor.cli.service",
        "drain": "supervisor.cli.service",
        "install-service": "supervisor.cli.service",
        "uninstall-service": "supervisor.cli.service",
        "backup": "supervisor.cli.backup",
        "restore": "supervisor.cli.backup",
        "doctor": "supervisor.cli.doctor",
        "completion": "supervisor.cli.server",
    }
)


_BUILTIN = frozenset({"input", "list"})


class Commands(click.Group):
    """All commands, in the order in which one gets to know them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, without importing anything."""
        del ctx
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        del ctx
        if cmd_name not in _MODULES:
            return None
        module = import_module(_MODULES[cmd_name])
        # Python has functions of these names.
        name = f"{cmd_name}_" if cmd_name in _BUILTIN else cmd_name.replace("-", "_")
        command = getattr(module, name)
        assert isinstance(command, click.Command)  # noqa: S101 - a mistake in the table above
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command. Click would make code 1 of a reader that has gone."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGone from None


class _ReaderGone(Exception):
    """BrokenPipeError under a name that Click does not know."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="runwire")
def commands() -> None:
    """Run jobs and follow them live.

    The server is found by --url or --socket, RUNWIRE_URL or RUNWIRE_SOCKET, ./jobs.toml, or at
    the default place of its socket. Exit codes are told in docs/cli.md.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line, and exits."""
    try:
        code = _run(args)
        sys.stdout.flush()
    except (BrokenPipeError, _ReaderGone):
        # The reader has gone, as `head` does.
        _drop_output()
        code = ExitCode.BROKEN_PIPE
    except OSError as exc:
        say(f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc.strerror))
        _drop_output()
        code = ExitCode.OUTPUT
    except Exception:  # noqa: BLE001 - a bug: all of it is wanted, and a code that says so
        traceback.print_exc()
        code = ExitCode.INTERNAL
    sys.exit(code)


def _drop_output() -> None:
    """See that what is buffered does not complain at exit, which would also change the code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(args: Sequence[str] | None) -> int:
    try:
        code = commands.main(args, prog_name="runwire", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except (RunwireError, BaseExceptionGroup) as exc:
        error = _only_one(exc)
        if isinstance(error, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        if not isinstance(error, RunwireError):
            raise
        say_error(error)
        return code_of_error(error)
    return code if isinstance(code, int) else ExitCode.OK


def _only_one(exc: BaseException) -> BaseException:
    """What was raised, which may come out of nurseries."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
