"""What can be done to a run while it is carried out: signals, pauses, input, its terminal's size."""

from __future__ import annotations

import math

from supervisor.engine import Engine
from supervisor.errors import InputClosed, NoTerminal, RunEnded, RunNotRunning
from supervisor.executors import Executor, Input, Pausing
from supervisor.journal import Journal
from supervisor.live import LiveRun
from supervisor.model import Actor, Paused, Resized, Resumed, Run, Signalled, Status
from supervisor.signals import parse_signal
from supervisor.spec import TerminalSize
from supervisor.wire import InputTaken, SignalRequest


class RunningRuns:
    """The runs that are carried out now. Every method raises errors of `supervisor.errors` only."""

    def __init__(self, engine: Engine, journal: Journal, executor: Executor) -> None:
        """`journal` knows the runs that have ended."""
        self._engine = engine
        self._journal = journal
        self._executor = executor

    async def signal(self, run_id: str, request: SignalRequest, by: Actor) -> Run:
        """Send one signal to a running run. Raises NoSuchRun, BadValue, RunEnded."""
        signal = parse_signal(request.signal, field="signal")
        live = self._engine.live.get(run_id)
        if live is None or live.posted.status is not Status.RUNNING:
            run = await self._get(run_id)
            raise RunEnded(f"run {run_id} is {run.status}, so there is nothing to signal")
        step = await self._executor.signal(live.run, signal, request.scope)
        if live.posted.status.ended:
            raise RunEnded(f"run {run_id} ended just when it was signalled")
        posting = self._engine.post(live, Signalled(step, stopping=False), by)
        await self._engine.wait_committed(posting)
        return live.run

    async def pause(self, run_id: str, by: Actor) -> Run:
        """Suspend a running run's processes; that is on disk when this returns. Harmless to repeat.

        Raises NoSuchRun, RunEnded, and RunNotRunning if it waits or is being stopped.
        """
        live, pausing = await self._pausing(run_id)
        if live.posted.stop is not None:
            raise RunNotRunning(f"run {run_id} is being stopped")
        if live.posted.paused_at is None:
            # No await stands between: a stop that comes next finds it paused, and told so.
            self._engine.post(live, Paused(pausing.pause()), by)
        return await self._recorded(live)

    async def resume(self, run_id: str, by: Actor) -> Run:
        """Let a paused run go on. Harmless if it does. Raises as `pause`."""
        live, pausing = await self._pausing(run_id)
        if live.posted.paused_at is not None:
            pausing.resume()
            self._engine.post(live, Resumed(), by)
        return await self._recorded(live)

    async def _pausing(self, run_id: str) -> tuple[LiveRun, Pausing]:
        live = self._engine.live.get(run_id)
        if live is None or live.posted.status.ended:
            run = await self._get(run_id)
            raise RunEnded(f"run {run_id} has {run.status}; there is nothing to pause")
        if live.console is None or live.console.pausing is None:
            raise RunNotRunning(f"run {run_id} has not started yet")
        return live, live.console.pausing

    async def _recorded(self, live: LiveRun) -> Run:
        if live.outbox:
            await self._engine.wait_committed(live.outbox[-1])
        return live.run

    async def send_input(
        self, run_id: str, data: bytes, *, end: bool = False, patience_s: float = math.inf
    ) -> InputTaken:
        """Hand the run `data` to read, and with `end` their end; what was taken in time.

        Raises NoSuchRun, RunEnded, and InputClosed if it takes none, not yet or not any more.
        """
        return await (await self._input(run_id)).send(data, end=end, patience_s=patience_s)

    async def _input(self, run_id: str) -> Input:
        live = self._engine.live.get(run_id)
        if live is None or live.posted.status.ended:
            run = await self._get(run_id)
            raise RunEnded(f"run {run_id} has {run.status}, so there is nothing that reads")
        if live.posted.status is Status.QUEUED:
            raise InputClosed(f"run {run_id} has not started yet")
        if live.console is None or live.console.input is None:
            raise InputClosed(f'run {run_id} takes no input: it has no stdin = "open"')
        return live.console.input

    async def resize(self, run_id: str, size: TerminalSize, by: Actor) -> Run:
        """Give the run's terminal another size. Raises NoSuchRun, RunEnded, NoTerminal."""
        live = self._engine.live.get(run_id)
        if live is None or live.posted.status.ended:
            run = await self._get(run_id)
            raise RunEnded(f"run {run_id} has {run.status}, and its terminal is gone")
        if live.posted.status is Status.QUEUED or live.console is None:
            raise NoTerminal(f"run {run_id} has not started yet")
        if live.console.screen is None:
            raise NoTerminal(f'run {run_id} is on no terminal: it has no output = "pty"')
        if size != (live.posted.terminal or live.posted.spec.terminal):
            live.console.screen.resize(size)
            await self._engine.wait_committed(self._engine.post(live, Resized(size), by))
        return live.run

    async def _get(self, run_id: str) -> Run:
        live = self._engine.live.get(run_id)
        return live.run if live is not None else await self._journal.get(run_id)
