"""jobs.toml and the environment become `Settings`; every mistake is told at once.

`load` reads a file, `read_settings` a text. What the command line says is laid over both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, structs

from supervisor.config.authtable import AuthSettings, read_auth
from supervisor.config.bind import Bind, parse_bind
from supervisor.config.jobtable import read_jobs, read_log_limit
from supervisor.config.tomltable import Notes, Table
from supervisor.config.tomltext import read_toml
from supervisor.errors import BadValue, ConfigError
from supervisor.jobs.checks import path_problem
from supervisor.jobs.params import shown
from supervisor.model import Tracking
from supervisor.spec import Job, LogLimit, Retention
from supervisor.suggest import did_you_mean
from supervisor.units import KIB, MIB, parse_duration, parse_size

SOCKET_NAME = "runwire.sock"
_SOCKET_PATH_MAX = 107  # bytes, one less than sun_path holds (unix(7))
_FILE_MAX = 8 * MIB
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_ORIGIN = re.compile(rf"https?://(?:{_HOST.pattern})(?::[0-9]{{1,5}})?", re.ASCII)


class SupervisorSettings(Struct, frozen=True, kw_only=True):
    """`[supervisor]`. `state_dir` is absolute.

    `drain_s` is how long output is read on after a program ended while something it started still
    holds it. Logs are synced to disk every `log_sync_s` seconds. `process_tracking` is None for
    the best means there is. `log_limit` is that of runs whose job has none of its own.
    """

    state_dir: Path
    max_running: int
    drain_s: float = 2.0
    log_sync_s: float = 1.0
    process_tracking: Tracking | None = None
    log_limit: LogLimit | None = None
    retention: Retention = Retention()


class WebLimits(Struct, frozen=True, kw_only=True):
    """`[web.limits]`: what a client may cost before it is refused or dropped."""

    max_body: int = 1 * MIB
    max_headers: int = 32 * KIB
    header_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    send_timeout_s: float = 30.0
    max_connections: int = 4096
    max_connections_per_address: int = 2048


class WebSettings(Struct, frozen=True, kw_only=True):
    """`[web]`. `base_path` is empty or begins, and does not end, with a slash.

    `hosts` are names that a `Host` header may give besides the loopback ones and that of `bind`,
    `cors_origins` sites whose pages may use the server besides its own; both are lower case.
    """

    bind: Bind
    socket: Path
    base_path: str = ""
    hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    limits: WebLimits = WebLimits()


class Settings(Struct, frozen=True, kw_only=True):
    """Everything a server is told. `path` is the file it was read from, absolute, if any.

    `jobs` are in file order. `warnings` are about what works but is likely not meant.
    """

    supervisor: SupervisorSettings
    web: WebSettings
    jobs: dict[str, Job]
    auth: AuthSettings = AuthSettings()
    path: Path | None = None
    warnings: tuple[str, ...] = ()


def load(path: Path | None, *, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `path`; None means defaults and no jobs.

    Raises ConfigError with every mistake in it.
    """
    if path is None:
        return read_settings("", None, environ=environ)
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from error
    if len(data) > _FILE_MAX:
        raise ConfigError((f"{path}: is larger than {_FILE_MAX // MIB} MiB",))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError((f"{path}:{line}: is not UTF-8 text",)) from error
    return read_settings(text, path, environ=environ)


def read_settings(
    text: str, path: Path | None, *, environ: Mapping[str, str] = os.environ
) -> Settings:
    """What `text` says, as if it stood in `path`.

    Raises ConfigError with every mistake in it.
    """
    base = Path.cwd() if path is None else path.absolute().parent
    toml = read_toml(text)
    notes = Notes(str(path or "jobs.toml"), toml)
    root = Table(toml.values, (), notes)
    supervisor = _read_supervisor(root.table("supervisor"), base, environ)
    settings = Settings(
        supervisor=supervisor,
        web=_read_web(root.table("web"), base, supervisor.state_dir),
        jobs=read_jobs(root.table("jobs"), str(base)),
        auth=read_auth(root.table("auth"), base),
        path=None if path is None else path.absolute(),
        warnings=notes.warnings(),
    )
    root.close({"job": "jobs", "server": "web", "http": "web", "runwire": "supervisor"})
    if notes.mistakes():
        raise ConfigError(notes.mistakes())
    return settings


def override(
    settings: Settings, *, bind: str | None = None, state_dir: Path | None = None
) -> Settings:
    """`settings` with what the command line says instead.

    Raises BadValue for `bind`.
    """
    if state_dir is not None:
        old, new = settings.supervisor.state_dir, state_dir.absolute()
        supervisor = structs.replace(settings.supervisor, state_dir=new)
        settings = structs.replace(settings, supervisor=supervisor)
        if settings.web.socket == old / SOCKET_NAME:
            web = structs.replace(settings.web, socket=new / SOCKET_NAME)
            settings = structs.replace(settings, web=web)
    if bind is not None:
        web = structs.replace(settings.web, bind=parse_bind(bind, field="bind"))
        settings = structs.replace(settings, web=web)
    return settings


def default_state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where state is kept if nobody says otherwise; a client finds the server's socket there.

    `$RUNWIRE_STATE_DIR`; under systemd `$STATE_DIRECTORY` (systemd.exec(5)); else
    `$XDG_STATE_HOME/runwire`, by default `~/.local/state/runwire`.

    Raises ConfigError if none of these is set and there is no home directory.
    """
    if chosen := environ.get("RUNWIRE_STATE_DIR"):
        return Path(chosen).absolute()
    if under_systemd := environ.get("STATE_DIRECTORY"):
        return Path(under_systemd.split(":")[0])
    state_home = environ.get("XDG_STATE_HOME", "")
    if state_home.startswith("/"):
        return Path(state_home, "runwire")
    try:
        home = Path(environ.get("HOME") or Path.home())
    except RuntimeError as error:
        raise ConfigError(("no home directory: set RUNWIRE_STATE_DIR or state_dir",)) from error
    return home / ".local" / "state" / "runwire"


def _read_supervisor(table: Table, base: Path, environ: Mapping[str, str]) -> SupervisorSettings:
    state_dir = _path(table, "state_dir")
    settings = SupervisorSettings(
        state_dir=default_state_dir(environ) if state_dir is None else base / state_dir,
        max_running=table.whole("max_running", max(4, 2 * (os.cpu_count() or 1)), least=1),
        drain_s=table.parsed("drain", parse_duration, 2.0),
        log_sync_s=table.parsed("log_sync", parse_duration, 1.0),
        process_tracking=table.parsed("process_tracking", _tracking, None),
        log_limit=read_log_limit(table),
        retention=_read_retention(table.table("retention")),
    )
    table.close()
    return settings


def _read_retention(table: Table) -> Retention:
    retention = Retention(
        age_s=table.parsed("age", _positive, None),
        runs=table.whole("runs", None, least=0),
        bytes=table.parsed("bytes", parse_size, None),
    )
    table.close()
    return retention


def _tracking(value: object) -> Tracking | None:
    words = ["auto", *Tracking]
    if value not in words:
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        raise BadValue(f"{value!r} is none of {', '.join(words)}{hint}")
    return None if value == "auto" else Tracking(str(value))


def _read_web(table: Table, base: Path, state_dir: Path) -> WebSettings:
    socket = _path(table, "socket")
    settings = WebSettings(
        bind=table.parsed("bind", parse_bind, Bind("127.0.0.1", 4000)),
        socket=state_dir / SOCKET_NAME if socket is None else base / socket,
        base_path=table.parsed("base_path", _base_path, ""),
        hosts=_read_hosts(table),
        cors_origins=_read_origins(table),
        limits=_read_limits(table.table("limits")),
    )
    if socket is not None and len(os.fsencode(settings.socket)) > _SOCKET_PATH_MAX:
        table.wrong(
            f"is longer than the {_SOCKET_PATH_MAX} bytes a socket's path can have", "socket"
        )
    table.close()
    return settings


def _read_limits(table: Table) -> WebLimits:
    default = WebLimits()
    limits = WebLimits(
        max_body=table.parsed("max_body", _size, default.max_body),
        max_headers=table.parsed("max_headers", _size, default.max_headers),
        header_timeout_s=table.parsed("header_timeout", _positive, default.header_timeout_s),
        idle_timeout_s=table.parsed("idle_timeout", _positive, default.idle_timeout_s),
        send_timeout_s=table.parsed("send_timeout", _positive, default.send_timeout_s),
        max_connections=table.whole("max_connections", default.max_connections, least=1),
        max_connections_per_address=table.whole(
            "max_connections_per_address", default.max_connections_per_address, least=1
        ),
    )
    table.close()
    return limits


def _positive(value: object) -> float:
    seconds = parse_duration(value)
    if seconds == 0:
        raise BadValue("must be longer than 0")
    return seconds


def _path(table: Table, key: str) -> str | None:
    path = table.string(key, None)
    problem = None if path is None else path_problem(path)
    if problem:
        table.wrong(problem, key)
    return path


def _size(value: object) -> int:
    size = parse_size(value)
    if size < KIB:
        raise BadValue(f"must be {KIB} bytes or more, not {size}")
    return size


def _base_path(value: object) -> str:
    if not isinstance(value, str) or not _BASE_PATH.fullmatch(value):
        raise BadValue(f'must be a path such as "/runwire", not {shown(value)}')
    return value.rstrip("/")


def _read_hosts(table: Table) -> tuple[str, ...]:
    hosts = table.strings("hosts") or ()
    for place, host in enumerate(hosts):
        if not _HOST.fullmatch(host):
            table.wrong(
                f'must be a host name without scheme and port, not "{host}"', "hosts", place
            )
    return tuple(host.lower() for host in hosts)


def _read_origins(table: Table) -> tuple[str, ...]:
    origins = table.strings("cors_origins") or ()
    for place, origin in enumerate(origins):
        if not _ORIGIN.fullmatch(origin):
            table.wrong(
                f'must be like "https://example.com", without a path, not "{origin}"',
                "cors_origins",
                place,
            )
    return tuple(origin.lower() for origin in origins)
