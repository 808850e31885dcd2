"""Puts the server together, runs it until it is told to stop, and takes it apart again.

The order of things is here and nowhere else. Up: settings, the state directory's lock, listening
sockets (so that a port in use is found out before anything else happens), journal, engine with
what an earlier server left, web, and only then the line that says it accepts connections. Down:
no new runs, every run stopped and recorded while viewers still watch, then the web, then the
journal.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

import trio
from msgspec import Struct

from supervisor.access.tokenkey import open_token_key
from supervisor.access.tokens import Tokens, open_tokens
from supervisor.attendance import keep_storage_watched, keep_told, keep_watched, stopping
from supervisor.config.settings import Settings, load, override
from supervisor.errors import BadValue, ConfigError
from supervisor.executors.local import LocalExecutor
from supervisor.fdstore import FdStore
from supervisor.journal import open_journal
from supervisor.ownunit import OwnUnit, own_unit
from supervisor.processes.ends import tells_status
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.queue import Limits
from supervisor.reloading import describe
from supervisor.retention import keep_tidy
from supervisor.service import Jobs, Supervisor, open_supervisor
from supervisor.servicemanager import ServiceManager, take_service_manager
from supervisor.statedir import StateDir, open_state_dir
from supervisor.waits import then_cancel
from web.app import open_app
from web.auth.auth import DEV_TOKEN, Auth, make_auth
from web.auth.bearer import open_bearer
from web.auth.keys import Key, read_configured
from web.fence.fence import serve_web
from web.fence.listen import address_of, close_all, open_missing, remove_files
from web.shutdown import Shutdown

_log = logging.getLogger("runwire")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(
    *, config: Path | None, bind: str | None, state_dir: Path | None, dev: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT, which stop every run first; a second one kills them.

    SIGHUP has jobs.toml read again.

    Raises ConfigError, BadValue, StateDirError and ListenError, each before anything was started,
    and StorageUnavailable if it was told to stop and the ends of runs cannot be recorded.
    """
    manager = take_service_manager()
    unit = own_unit() if manager.address is not None else None

    def read() -> Settings:
        return override(load(config), bind=bind, state_dir=state_dir)

    settings = read()
    if dev and not settings.web.bind.loopback:
        raise BadValue(
            "--dev accepts a well-known token, so it listens on this machine only, "
            f"and {settings.web.bind} can be reached from others",
            field="bind",
        )
    _log_to_stderr()
    for warning in settings.warnings:
        _log.warning("%s", warning)
    keys = read_configured(settings.auth)
    given = Given(settings, read, make_auth(os.environ, dev=dev), keys, dev, unit)
    trio.run(_serve, given, manager)


class Given(Struct, frozen=True):
    """What a server is started with: `settings`, and how to `read` them again.

    `unit` is the one of systemd whose service it is, if it is one.
    """

    settings: Settings
    read: Callable[[], Settings]
    auth: Auth
    keys: Sequence[Key]
    dev: bool
    unit: OwnUnit | None = None


async def _serve(given: Given, manager: ServiceManager) -> None:
    settings, auth = given.settings, given.auth
    with ExitStack() as stack:
        state = stack.enter_context(open_state_dir(settings.supervisor.state_dir))
        sockets = list(manager.sockets)
        stack.callback(close_all, sockets)
        stack.callback(remove_files, open_missing(sockets, settings.web))
        signals = stack.enter_context(trio.open_signal_receiver(*_SIGNALS))
        shutdown = Shutdown()
        store = stack.enter_context(closing(open_store(manager, given.unit)))
        async with (
            _open_engine(settings, state, store) as (supervisor, tokens),
            open_bearer(settings.auth, given.keys, tokens) as bearer,
            open_app(supervisor, settings.web, auth.with_bearer(bearer), shutdown) as app,
            trio.open_nursery() as nursery,
            trio.open_nursery() as attending,
        ):
            supervisor.follow_settings(settings, given.read, manager)
            await nursery.start(serve_web, app, sockets, settings.web.limits, shutdown.begun)
            for trouble in await supervisor.refused():
                _log.warning("%s", trouble)
            for trouble in await supervisor.autostart():
                _log.error("%s", trouble)
            # What is there now stays; looking through all of it again and again takes ms each time.
            gc.collect()
            gc.freeze()
            _announce(settings, sockets, dev=given.dev)
            manager.ready(supervisor.summary())
            attending.start_soon(keep_told, manager, supervisor)
            attending.start_soon(keep_watched, manager, supervisor)
            attending.start_soon(keep_storage_watched, supervisor)
            async with trio.open_nursery() as serving:
                serving.start_soon(then_cancel, supervisor.wait_drained, serving)
                await _until_told_to_stop(signals, supervisor)
                serving.cancel_scope.cancel()
            restarting = given.unit is not None and await given.unit.is_restarting()
            if restarting:
                supervisor.spare()
            async with stopping(manager, "restarting" if restarting else "stopping all runs"):
                await _stop_runs(supervisor, signals)
            shutdown.begin(restarting=restarting)
            attending.cancel_scope.cancel()
    _log.info("stopped")


async def _until_told_to_stop(signals: AsyncIterator[int], supervisor: Supervisor) -> None:
    async for signum in signals:
        if signum != signal.SIGHUP:
            return
        try:
            report = await supervisor.reload()
        except ConfigError as exc:
            for mistake in exc.mistakes:
                _log.error("not reloaded: %s", mistake)
        else:
            _log.info("reloaded: %s", describe(report))


async def _stop_runs(supervisor: Supervisor, signals: AsyncIterator[int]) -> None:
    """Stop every run that is not spared; another signal makes it quick."""
    spared = supervisor.spared()
    stopped = supervisor.counts()[1] - spared
    _log.info("stopping: no new runs; %d are being stopped, %d go on", stopped, spared)

    async def hurry() -> None:
        await _next_stop(signals)
        _log.warning("told to stop again: killing what still runs")
        await supervisor.stop_all(force=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hurry)
        await supervisor.stop_all()
        nursery.cancel_scope.cancel()


async def _next_stop(signals: AsyncIterator[int]) -> None:
    async for signum in signals:
        if signum != signal.SIGHUP:
            return


@asynccontextmanager
async def _open_engine(
    settings: Settings, state: StateDir, store: FdStore
) -> AsyncIterator[tuple[Supervisor, Tokens]]:
    """The engine on this machine's processes and this state directory's files, and its tokens."""
    key = open_token_key(state.token_key)
    audience = next(iter(settings.auth.audience), None)
    launcher = Launcher(open_files=_raise_open_files())
    tracker, why = open_tracker(
        settings.supervisor.process_tracking, state.instance, own=launcher.pids
    )
    _log.info("processes of runs are tracked by %s%s", tracker.best, f" ({why})" if why else "")
    try:
        async with open_journal(state.journal) as journal, trio.open_nursery() as nursery:
            nursery.start_soon(tracker.keep_reaped)
            executor = LocalExecutor(
                launcher,
                instance=state.instance,
                drain_s=settings.supervisor.drain_s,
                tracker=tracker,
                store=store,
            )
            base = settings.path.parent if settings.path is not None else Path.cwd()
            async with (
                open_tokens(journal, key, audience=audience) as tokens,
                open_supervisor(
                    journal=journal,
                    executor=executor,
                    state=state,
                    jobs=Jobs(settings.jobs, str(base), settings.supervisor.log_limit),
                    limits=Limits(settings.supervisor.max_running),
                    log_sync_s=settings.supervisor.log_sync_s,
                ) as supervisor,
            ):
                store.drop_others(supervisor.live_runs())
                nursery.start_soon(keep_tidy, supervisor)
                yield supervisor, tokens
            nursery.cancel_scope.cancel()
    finally:
        launcher.close()
        tracker.close()


def open_store(manager: ServiceManager, unit: OwnUnit | None) -> FdStore:
    """What keeps the descriptors of runs over a restart, and has kept them over the last one."""
    room = manager.room or 0 if unit is None else unit.keeps
    if room:
        _log.info("runs survive a restart: up to %d of their descriptors are kept", room)
    return FdStore(manager.address, room, manager.kept, watched=room > 0 and not tells_status())


def _announce(settings: Settings, sockets: Sequence[socket.socket], *, dev: bool) -> None:
    """One line on stdout that says where; with `dev`, the warning goes to stderr."""
    base = settings.web.base_path
    where = [
        f"http://{address_of(sock)}{base}/" for sock in sockets if sock.family != socket.AF_UNIX
    ]
    print(f"runwire serves {' '.join(where)} and {settings.web.socket}", flush=True)  # noqa: T201
    if dev:
        print(  # noqa: T201
            f"DEVELOPMENT MODE: the token is {DEV_TOKEN}, and everybody on this machine knows it: "
            "they can run commands as you. Never use --dev for a service.",
            file=sys.stderr,
            flush=True,
        )


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def _raise_open_files() -> int:
    """Allow this process all the descriptors it may have; returns what it was allowed before.

    A run takes several and a viewer one, while programs may expect the customary limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
