"""A whole server for a test: the real engine, real processes, real sockets, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import trio
from quart_trio import QuartTrio

from supervisor.access.tokenkey import open_token_key
from supervisor.access.tokens import Tokens, open_tokens
from supervisor.config.authtable import AuthSettings
from supervisor.config.bind import Bind
from supervisor.config.settings import WebSettings, load, read_settings
from supervisor.errors import RunEnded
from supervisor.executors.local import LocalExecutor
from supervisor.journal import open_journal
from supervisor.model import SYSTEM, Status
from supervisor.processes.launcher import Launcher
from supervisor.processes.tracking import open_tracker
from supervisor.queue import Limits
from supervisor.runquery import RunQuery
from supervisor.service import Jobs, Supervisor, open_supervisor
from supervisor.statedir import open_state_dir
from supervisor.wire import CancelRequest
from tests.patience import PATIENCE_S
from web.app import open_app
from web.auth.auth import Auth, make_auth
from web.auth.bearer import open_bearer
from web.auth.jwks import Pace
from web.auth.keys import Key
from web.fence.fence import serve_web
from web.fence.listen import open_tcp, open_unix
from web.shutdown import Shutdown

TOKEN = "t" * 32
NO_KEYS = AuthSettings()
QUICK = Pace(apart_s=0, patience_s=PATIENCE_S)
UNENDED = RunQuery(status=(Status.QUEUED, Status.RUNNING), limit=1000)
JOBS = """
[jobs.hello]
description = "Says hello"
shell = "echo hello $RUNWIRE_PARAM_NAME; echo oops >&2"
params.name = { type = "string", default = "world", pattern = "[a-z]+" }
tags = ["greeting"]

[jobs.sleeper]
shell = "echo ready; sleep 60"
stop = { grace = "5s" }
"""


class Site:
    """A running server and a client of it that may do everything."""

    def __init__(
        self,
        supervisor: Supervisor,
        tokens: Tokens,
        http: httpx.AsyncClient,
        socket: Path,
        shutdown: Shutdown,
        app: QuartTrio,
    ) -> None:
        self.supervisor = supervisor
        self.tokens = tokens
        self.http = http
        self.socket = socket
        self.shutdown = shutdown
        self.app = app

    @property
    def address(self) -> tuple[str, int]:
        return self.http.base_url.host, self.http.base_url.port or 0

    async def shell(self, line: str, **more: object) -> str:
        """Submit a shell line; its run's id."""
        answer = await self.http.post("/runs", json={"shell": line, **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The run once it has ended."""
        with trio.fail_after(PATIENCE_S):
            await self.supervisor.wait_ended(run_id)
        return await self.run(run_id)

    async def running(self, run_id: str, *, written: int = 0) -> dict[str, Any]:
        """The run once it is running and its log has `written` bytes."""
        with trio.fail_after(PATIENCE_S):
            while True:
                # Looked at before the next await, so that no change can be missed.
                run = await self.supervisor.get(run_id)
                assert not run.status.ended, run
                view = self.supervisor.open_log(run)
                with view:
                    if run.status is Status.RUNNING and view.reader.size >= written:
                        break
                    with trio.move_on_after(0.5):
                        await view.changed.wait()
        return await self.run(run_id)

    async def run(self, run_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/runs/{run_id}")
        assert answer.status_code == 200
        shown: dict[str, Any] = answer.json()
        return shown


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def running_site(
    tmp_path: Path,
    *,
    auth: Auth | None = None,
    max_running: int = 8,
    jobs: Path | None = None,
    auth_settings: AuthSettings = NO_KEYS,
    keys: Sequence[Key] = (),
    **web: Any,
) -> AsyncIterator[Site]:
    """A server with `web` in its `[web]`, and the jobs of the file `jobs` or of JOBS."""
    environ = {"RUNWIRE_STATE_DIR": str(tmp_path)}
    read = load(jobs, environ=environ) if jobs else read_settings(JOBS, None, environ=environ)
    auth = auth or make_auth({"WS_AUTH_TOKEN": TOKEN}, dev=False)
    path = tmp_path / "runwire.sock"
    sockets = open_tcp(Bind("127.0.0.1", 0))
    port = sockets[0].getsockname()[1]
    settings = WebSettings(bind=Bind("127.0.0.1", port), socket=path, **web)
    shutdown = Shutdown()
    with (
        open_state_dir(tmp_path / "state") as state,
        closing(Launcher()) as launcher,
        closing(open_tracker(None, state.instance, own=launcher.pids)[0]) as tracker,
    ):
        async with (
            open_journal(state.journal) as journal,
            open_tokens(journal, open_token_key(state.token_key)) as tokens,
            open_bearer(auth_settings, keys, tokens, pace=QUICK) as bearer,
            open_supervisor(
                journal=journal,
                executor=LocalExecutor(
                    launcher, instance=state.instance, drain_s=1.0, tracker=tracker
                ),
                state=state,
                jobs=Jobs(read.jobs, str(tmp_path)),
                limits=Limits(max_running),
            ) as supervisor,
            open_app(supervisor, settings, auth.with_bearer(bearer), shutdown) as app,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(
                serve_web, app, [*sockets, open_unix(path)], settings.limits, shutdown.begun
            )
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}{settings.base_path}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=PATIENCE_S,
            ) as http:
                yield Site(supervisor, tokens, http, path, shutdown, app)
            shutdown.begin()
            for run in (await supervisor.list_runs(UNENDED)).runs:
                with suppress(RunEnded):
                    await supervisor.cancel(run.id, CancelRequest(force=True), SYSTEM)


async def until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds, for what nobody tells of."""
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(0.005)
