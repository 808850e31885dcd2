"""What the commands of the command line have in common: server, JSON, and what to run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import msgspec
from msgspec import structs

from supervisor.client.address import Address, socket_address, url_address
from supervisor.client.api import Client, RunFilter
from supervisor.errors import BadValue, ConfigError, RunwireError
from supervisor.spec import OutputMode, Stdin, StdinMode, StdinSource, StopScope
from supervisor.wire import LimitsWish, StopWish, SubmitRequest

P = ParamSpec("P")
R = TypeVar("R")
# An id of ours makes it safe to send the request again when the connection breaks.
_ID_BYTES = 6
_COMPLETION_S = 2.0
_COMMAND_AFTER_DASHES = "runwire.command"
_SERVER = ("url", "socket", "token", "token_file")


def server_options(command: Callable[Concatenate[Address, P], R]) -> Callable[P, R]:
    """Adds --url, --socket, --token and --token-file, and gives the command the Address they name."""

    @click.option("--url", metavar="URL", help="The server's URL.  [env: RUNWIRE_URL]")
    @click.option("--socket", metavar="PATH", help="The server's socket.  [env: RUNWIRE_SOCKET]")
    @click.option("--token", metavar="TOKEN", help="The token to show.  [env: RUNWIRE_TOKEN]")
    @click.option(
        "--token-file",
        metavar="FILE",
        help="Where it stands, read whenever it is shown.  [env: RUNWIRE_TOKEN_FILE]",
    )
    @functools.wraps(command)
    def with_server(*args: Any, **options: Any) -> R:
        return command(find_server(*(options.pop(name) for name in _SERVER)), *args, **options)

    return with_server


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Adds --json as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the server's JSON.")(command)


def find_server(
    url: str | None, socket: str | None, token: str | None, token_file: str | None
) -> Address:
    """The server that the flags, the environment, ./jobs.toml or the defaults name, in this order.

    Raises UsageError if two are named at once, BadValue for a URL or token that cannot be one.
    """
    if token is None and token_file is None:
        token = os.environ.get("RUNWIRE_TOKEN") or None
        token_file = os.environ.get("RUNWIRE_TOKEN_FILE") or None
    if token is not None and token_file is not None:
        raise click.UsageError("Give a token, or the file where it stands, not both.")
    address = _find_address(url, socket, token)
    return structs.replace(address, token_file=token_file and os.path.abspath(token_file))  # noqa: PTH100


def _find_address(url: str | None, socket: str | None, token: str | None) -> Address:
    if url is None and socket is None:
        url = os.environ.get("RUNWIRE_URL") or None
        socket = os.environ.get("RUNWIRE_SOCKET") or None
    if url is not None and socket is not None:
        raise click.UsageError("Name the server by its URL or by its socket, not by both.")
    if url is not None:
        return url_address(url, token=token)
    return socket_address(socket or default_socket(), token=token)


SERVICE_SOCKET = Path("/run/runwire/runwire.sock")
"""What systemd/runwire.socket listens on."""


def default_socket() -> str:
    """Where `runwire serve`, started in this directory, would make its socket.

    Where there is none, that of the machine's service, if it has one.
    """
    from supervisor.config.settings import SOCKET_NAME, default_state_dir, load  # noqa: PLC0415 - seldom

    here = Path("jobs.toml")
    if here.exists():
        try:
            return str(load(here).web.socket)
        except ConfigError:
            pass  # a mistake in the file is for `check` and `serve` to tell
    own = default_state_dir() / SOCKET_NAME
    if not own.exists() and SERVICE_SOCKET.exists():
        return str(SERVICE_SOCKET)
    return str(own)


class CommandAfterDashes(click.Command):
    """A command that keeps what follows `--` apart: `run JOB` is not `run -- JOB`."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """What stands behind the name in the usage line."""
        del ctx
        return ["[OPTIONS]", "JOB | -- COMMAND..."]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses what stands before the dashes."""
        if "--" in args:
            dashes = args.index("--")
            ctx.meta[_COMMAND_AFTER_DASHES] = tuple(args[dashes + 1 :])
            args = args[:dashes]
        return super().parse_args(ctx, args)


def complete_job(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """The jobs whose names begin so, for the shell; none if the server cannot be asked."""
    return _completed(lambda client: [job.name for job in client.jobs().value.jobs], ctx, begun)


def complete_run(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """The newest runs whose ids begin so, for the shell."""
    return _completed(
        lambda client: [run.id for run in client.runs(RunFilter()).value.runs], ctx, begun
    )


def _completed(names: Callable[[Client], list[str]], ctx: click.Context, begun: str) -> list[str]:
    given = (ctx.params.get(name) for name in _SERVER)
    try:
        client = Client(find_server(*given), timeout_s=_COMPLETION_S)
        return [name for name in names(client) if name.startswith(begun)]
    except (RunwireError, click.UsageError):
        return []


def scope_option(told: str) -> Callable[[Any], Any]:
    """Adds --scope: `main` or `tree`."""
    return click.option(
        "--scope", type=click.Choice([scope.value for scope in StopScope]), help=told
    )


run_argument = click.argument("run_id", metavar="RUN", shell_complete=complete_run)

_RUN_OPTIONS = (
    click.argument("job", required=False, shell_complete=complete_job),
    click.option(
        "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A job's parameter."
    ),
    click.option("--shell", metavar="LINE", help="Run this line by /bin/sh instead of a job."),
    click.option("--cwd", metavar="DIR", help="Where a command runs.  [default: here]"),
    click.option(
        "-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="A command's environment."
    ),
    click.option("--id", "run_id", metavar="ID", help="The run's id: asking twice runs once."),
    click.option("--timeout", metavar="DURATION", help="Stop it after this long, such as 10m."),
    click.option("--queue-timeout", metavar="DURATION", help="How long it may wait to start."),
    click.option("--no-output-timeout", metavar="DURATION", help="How long it may be silent."),
    click.option("--signal", metavar="NAME", help="What stops it.  [default: TERM]"),
    click.option("--grace", metavar="DURATION", help="From that signal to KILL.  [default: 10s]"),
    scope_option("Whom that signal is for.  [default: tree]"),
    click.option(
        "--output",
        type=click.Choice([mode.value for mode in OutputMode]),
        help="How it writes.  [default: split]",
    ),
    click.option(
        "--stdin",
        metavar="FILE",
        help="A file for a command to read; `open`: what `input` sends.  [default: nothing]",
    ),
    click.option("--stdin-text", metavar="TEXT", help="A text for a command to read."),
    click.option("--priority", type=int, help="Higher runs first."),
    click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=VALUE",
        help="What a command may use, such as memory=2G.",
    ),
    click.option("--nice", type=int, help="A command's nice value, -20 to 19."),
    click.option("--ionice", metavar="CLASS", help="Its I/O priority, such as idle."),
    click.option("--umask", metavar="OCTAL", help="Its umask, such as 027."),
    click.option(
        "--inherit-env",
        multiple=True,
        metavar="NAME",
        help="What a command gets of the server's environment.",
    ),
    click.option("--env-file", metavar="FILE", help="The server reads variables from it."),
    click.option("--user", metavar="USER[:GROUP]", help="As whom a command runs."),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="To find it by."),
)


def run_options(command: Callable[..., R]) -> Callable[..., R]:
    """Adds everything that says what to run, and gives the command the SubmitRequest it makes."""

    @functools.wraps(command)
    def with_request(address: Address, **options: Any) -> R:
        names = ("params", "env", "run_id", "tags", "job", "shell", "cwd")
        asked = {name: options.pop(name) for name in names}
        stop = StopWish(options.pop("signal"), options.pop("grace"), scope_of(options.pop("scope")))
        request = SubmitRequest(
            id=asked["run_id"] or os.urandom(_ID_BYTES).hex(),
            job=asked["job"],
            params=_assignments(asked["params"], "-p"),
            command=_command(asked["job"], asked["shell"]),
            shell=asked["shell"],
            cwd=_cwd(address, asked["cwd"], asked["job"]),
            env=_environment(asked["env"]),
            timeout=options.pop("timeout"),
            queue_timeout=options.pop("queue_timeout"),
            no_output_timeout=options.pop("no_output_timeout"),
            stop=stop if stop != StopWish() else None,
            output=_output(options.pop("output")),
            stdin=_stdin(address, options.pop("stdin"), options.pop("stdin_text")),
            priority=options.pop("priority"),
            limits=_limits(options.pop("limits")),
            nice=options.pop("nice"),
            ionice=options.pop("ionice"),
            umask=options.pop("umask"),
            user=options.pop("user"),
            inherit_env=options.pop("inherit_env") or None,
            env_file=_whole(options.pop("env_file")),
            tags=asked["tags"],
        )
        return command(address, request, **options)

    for option in reversed(_RUN_OPTIONS):
        with_request = option(with_request)
    return with_request


def _command(job: str | None, shell: str | None) -> tuple[str, ...] | None:
    """The words after `--`. Raises UsageError unless exactly one of the three ways is used."""
    command: tuple[str, ...] | None = click.get_current_context().meta.get(_COMMAND_AFTER_DASHES)
    if command == ():
        raise click.UsageError("There is no command after --.")
    if sum(way is not None for way in (job, shell, command)) != 1:
        raise click.UsageError("Name a job, or give a command after --, or a line with --shell.")
    if command is not None and not all(_is_text(word) for word in command):
        raise BadValue("a command must be UTF-8 text", field="command")
    return command


def scope_of(given: str | None) -> StopScope | None:
    """What --scope says."""
    return None if given is None else StopScope(given)


def _output(given: str | None) -> OutputMode | None:
    return None if given is None else OutputMode(given)


def _stdin(address: Address, given: str | None, text: str | None) -> Stdin | None:
    """A file of this machine is named from here. Raises UsageError for two things to read."""
    if given is not None and text is not None:
        raise click.UsageError("A run reads one thing: --stdin or --stdin-text.")
    if text is not None:
        return StdinSource(text=text)
    if given is None or given in list(StdinMode):
        return None if given is None else StdinMode(given)
    return StdinSource(file=given if address.socket is None else os.path.abspath(given))  # noqa: PTH100


def _cwd(address: Address, given: str | None, job: str | None) -> str | None:
    """Where a command runs: on this machine, here."""
    if job is not None or address.socket is None:
        return given
    return os.path.abspath(given or ".")  # noqa: PTH100  (a Path would lose what "." means)


def _assignments(given: tuple[str, ...], option: str) -> dict[str, Any]:
    pairs = [text.partition("=") for text in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise click.UsageError(f"{option} takes NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def _whole(path: str | None) -> str | None:
    """The server has a directory of its own."""
    return None if path is None else os.path.abspath(path)  # noqa: PTH100 - as for --cwd


def _limits(given: tuple[str, ...]) -> LimitsWish | None:
    """Raises UsageError for a name or a value that no limit has."""
    if not given:
        return None
    try:
        return msgspec.convert(_assignments(given, "--limit"), LimitsWish, strict=False)
    except msgspec.ValidationError as exc:
        known = ", ".join(LimitsWish.__struct_fields__)
        raise click.UsageError(f"--limit: {exc}; the names are {known}.") from None


def _environment(given: tuple[str, ...]) -> dict[str, str]:
    """A name alone takes its value from this environment, or nothing if it has none there."""
    whole = [
        text if "=" in text else f"{text}={os.environ[text]}"
        for text in given
        if "=" in text or text in os.environ
    ]
    return _assignments(tuple(whole), "-e")


def _is_text(word: str) -> bool:
    """False for what the system passed us although it is no UTF-8."""
    return word.isascii() or word.encode(errors="replace").decode() == word
