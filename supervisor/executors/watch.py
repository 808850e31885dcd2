"""One run between its open gate and its last process and byte: `Watch.attend`, top to bottom.

"Exited" and "output closed" are two facts: the program's end is seen through its pidfd, the end of
its output through the pipes, and a descendant that holds a pipe is waited for a bounded time and
then killed.
"""

from __future__ import annotations

from contextlib import suppress

import trio

from supervisor.executors import Console
from supervisor.executors.pausing import Pausing
from supervisor.executors.stdio import Stdio
from supervisor.executors.stopping import KILL_WAIT_S, Stopping
from supervisor.executors.watchdogs import start_watchdogs
from supervisor.log.capture import RETRY_S
from supervisor.model import Deadline, ProgramExited, Run
from supervisor.outcome import Exited, Lost, NamedProcess
from supervisor.processes.holders import holders, named
from supervisor.processes.launcher import GatedProcess
from supervisor.processes.tree import KILL
from supervisor.signals import signal_name
from supervisor.waits import then_cancel

_PROMPT_S = 0.05
"""Output that ends within this time of the program ended with it; later, that is news. Processes
that are gone by then were not left behind."""
SETTLE_S = 1.0
"""How long the end of output may take once everybody who could hold it was killed."""


class Watch:
    """Sees a run through."""

    def __init__(self, child: GatedProcess, console: Console, stdio: Stdio, drain_s: float) -> None:
        """`child` is the run's first process, whose gate is open, and `stdio` what it reads and
        writes.

        `drain_s` bounds the wait for others that still hold the output when it has ended.
        """
        self._child = child
        self._console = console
        self._output = stdio
        self._drain_s = drain_s
        self._stopping = Stopping(child, console, drain_s)
        self._pausing = console.pausing = Pausing(child)

    async def attend(self, run: Run, limit: tuple[Deadline, ...]) -> Exited | Lost:
        """Capture, stop when asked or when the `limit` has passed, drain, and clear up.

        `run` is how it was when this began.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._output.capture, self._console)
            nursery.start_soon(self._stopping.stop_when_asked, run)
            async with trio.open_nursery() as while_it_runs:
                start_watchdogs(while_it_runs, self._console, self._pausing, run, limit)
                await self._child.wait_exited()
                while_it_runs.cancel_scope.cancel()
            self._output.program_exited()
            self._console.log.hurried.set()  # there is little more, and it is waited for
            # That gives a descriptor back: if there is no other, it serves to look at /proc.
            self._child.read_report()
            if self._stopping.cause is not None:
                await self._stopping.done.wait()
            else:
                await self._drain(run)
            killed, survivors = await self._kill_rest()
            unattributed = self._unattributed()
            self._output.capture_now(self._console)
            complete = self._output.ended.is_set()
            code, usage = self._child.reap()
            out_of_memory = self._child.out_of_memory()
            nursery.cancel_scope.cancel()
        if code is None:
            message = "it has ended, and nobody saw how: who watched it was killed"
            return Lost(message=message, killed=killed)
        return Exited(
            exit_code=code if code >= 0 else None,
            signal=_signal_name(code),
            stopped=self._stopping.cause,
            output_complete=complete,
            killed=killed,
            survivors=survivors,
            unattributed=unattributed,
            usage=usage,
            out_of_memory=out_of_memory,
        )

    async def _drain(self, run: Run) -> None:
        """The program has ended: wait a while for its output to end, or until a stop is asked."""
        # If nobody is left to hold it, it is only we who are slow to read it.
        with trio.move_on_after(_PROMPT_S if self._child.anyone_left() else SETTLE_S):
            await self._output.ended.wait()
            return
        self._output.capture_now(self._console)  # a busy machine may not have let us
        if self._output.ended.is_set():
            return
        if run.exited_at is None:  # or an earlier server has said so
            code = self._child.peek_status()
            holders = await trio.to_thread.run_sync(self._holders)
            if code is not None:
                ended = ProgramExited(code if code >= 0 else None, _signal_name(code), holders)
                self._console.note(ended)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(then_cancel, self._console.stop.wait_asked, nursery)
            nursery.start_soon(then_cancel, self._output.ended.wait, nursery)
            await trio.sleep(self._drain_s)
            while self._console.log.trouble is not None:  # noqa: ASYNC110 - it goes by itself
                # Nobody holds these bytes back but the disk, which may have room again.
                await trio.sleep(2 * RETRY_S)
            nursery.cancel_scope.cancel()

    def _holders(self) -> tuple[NamedProcess, ...]:
        with suppress(OSError):
            return holders(self._child.members(), self._output.output_files)
        return ()

    def _unattributed(self) -> tuple[NamedProcess, ...]:
        with suppress(OSError):
            return tuple(map(named, self._child.perhaps_members()))
        return ()

    async def _gone_soon(self) -> bool:
        """Whether nobody is left. One that has just closed its output may be on its way out."""
        if not self._child.anyone_left():
            return True
        with trio.move_on_after(_PROMPT_S):
            await self._child.wait_gone()
            return True
        return False

    async def _kill_rest(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Kill what its tree left behind; the pids killed, and those that are there even so."""
        killed: tuple[int, ...] = ()
        survivors: tuple[int, ...] = ()
        if not await self._gone_soon():
            killed = self._child.send_signal(KILL).pids
            with trio.move_on_after(KILL_WAIT_S):
                others = await self._child.kill_whoever_comes()
                killed = tuple(sorted({*killed, *others}))
        elif self._stopping.cause is None:
            return (), ()
        with trio.move_on_after(SETTLE_S):
            await self._output.ended.wait()
        with suppress(OSError):
            survivors = tuple(process.pid for process in self._child.members())
        return tuple(pid for pid in killed if pid not in survivors), survivors


def _signal_name(code: int) -> str | None:
    """The signal that `code` (minus its number) stands for, None for an exit code."""
    return None if code >= 0 else signal_name(-code)
