"""Shows a run's output while it happens, and passes the user's wish to stop on to it.

Bytes are written to this process's stdout and stderr exactly as the run wrote them. Writing takes
place in a thread: a terminal or pager that stands still must not make Ctrl-C stand still.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Mapping
from functools import partial

import trio
from msgspec import structs

from supervisor.cli.lend import lend_terminal, own_size
from supervisor.cli.output import ReaderGone, say, say_on_terminal, write_all
from supervisor.client.api import Client
from supervisor.client.follow import Wanted, follow
from supervisor.client.updates import End, Gap, Update
from supervisor.errors import RunEnded, RunwireError, ServerUnreachable, Unavailable
from supervisor.frames import Output
from supervisor.model import Stream
from supervisor.spec import OutputMode
from supervisor.wire import CancelRequest, RunView, SubmitRequest

PATIENCE_S = 60.0
"""How long a server that has gone is waited for."""
_CANCEL_AGAIN_S = 0.5
_ASKS_UNTIL_LEFT = 3

Outputs = Mapping[Stream, int]

APART: Outputs = {Stream.STDOUT: 1, Stream.STDERR: 2}
MERGED: Outputs = {Stream.STDOUT: 1, Stream.STDERR: 1}
NOWHERE: Outputs = {}


async def run_attached(client: Client, request: SubmitRequest, outputs: Outputs) -> RunView | None:
    """Submits a run and shows it until its end. None if the user left before.

    Ctrl-C, SIGTERM and a reader of the output that went away cancel the run; the second time
    kills it, the third time leaves it to itself. Raises what the server refuses with,
    ServerUnreachable, and OSError if the output cannot be written.
    """
    ended: RunView | None = None
    failure: RunwireError | OSError | None = None
    async with trio.open_nursery() as nursery:
        stopper = Stopper(client, nursery.cancel_scope)
        await nursery.start(stopper.listen)
        try:
            if outputs and request.output is OutputMode.PTY and request.terminal is None:
                request = structs.replace(request, terminal=own_size())
            submit = partial(client.submit, request)
            run = (await trio.to_thread.run_sync(submit, abandon_on_cancel=True)).value
            nursery.start_soon(stopper.deliver, run.id)
            if outputs:
                nursery.start_soon(lend_terminal, client, run, nursery.cancel_scope.cancel)
            async with follow(client.address, run.id, patience_s=PATIENCE_S) as updates:
                ended = await _show_while_read(updates, outputs, stopper)
        except (RunwireError, OSError) as exc:  # raised below: in here it would become a group
            failure = exc
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return ended


async def _show_while_read(
    updates: AsyncIterator[Update], outputs: Outputs, stopper: Stopper
) -> RunView:
    while True:
        try:
            return await show(updates, outputs)
        except ReaderGone as gone:
            outputs = {stream: fd for stream, fd in outputs.items() if fd != gone.fd}
            stopper.reader_gone()


class Stopper:
    """Counts how often the user asked for the end, and tells the server."""

    def __init__(self, client: Client, leave: trio.CancelScope) -> None:
        """`leave` is cancelled when the user has asked once too often to go on waiting."""
        self._client = client
        self._leave = leave
        self._asked = 0
        self._send, self._wishes = trio.open_memory_channel[CancelRequest](_ASKS_UNTIL_LEFT)

    def ask(self) -> None:
        """The user wants the end, or wants it now, or wants to be gone."""
        self._asked += 1
        if self._asked >= _ASKS_UNTIL_LEFT:
            self._leave.cancel()
            return
        self._send.send_nowait(CancelRequest(force=self._asked > 1))
        text = "killing the run" if self._asked > 1 else "cancelling the run; again to kill it"
        say_on_terminal(text)

    def reader_gone(self) -> None:
        """Nobody sees the output any more, which ends a program as well (SIGPIPE)."""
        if not self._asked:
            self.ask()

    async def listen(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Takes each SIGINT and SIGTERM for a wish."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _signal in signals:
                self.ask()

    async def deliver(self, run_id: str) -> None:
        """Tells the server each wish, again and again while it cannot be reached."""
        async for wish in self._wishes:
            while not await self._told(run_id, wish):  # noqa: ASYNC110 - the server cannot tell
                await trio.sleep(_CANCEL_AGAIN_S)

    async def _told(self, run_id: str, wish: CancelRequest) -> bool:
        cancel = partial(self._client.cancel, run_id, wish)
        try:
            await trio.to_thread.run_sync(cancel, abandon_on_cancel=True)
        except (ServerUnreachable, Unavailable):
            return False
        except RunEnded:
            return True
        except RunwireError as exc:
            say(f"the run cannot be cancelled: {exc.message}")
        return True


async def wait_ended(client: Client, run: RunView) -> RunView:
    """The run once it has ended, its output passed over."""
    part = Wanted(start=run.log.size)
    async with follow(client.address, run.id, part, patience_s=PATIENCE_S) as updates:
        return await show(updates, NOWHERE)


async def show(updates: AsyncIterator[Update], outputs: Outputs) -> RunView:
    """Writes each stream's bytes to its descriptor in `outputs`, if it has one, until the end.

    Raises ReaderGone, after which the rest can be shown to other outputs, and OSError if a
    descriptor cannot be written to.
    """
    async for update in updates:
        match update:
            case End():
                return update.run
            case Gap():
                size = update.to - update.offset
                say(f"{size} bytes from offset {update.offset} are not kept: {update.reason}")
            case Output() if update.stream in outputs:
                fd = outputs[update.stream]
                await trio.to_thread.run_sync(write_all, fd, update.data, abandon_on_cancel=True)
    raise AssertionError("unreachable: follow ends with an End, or raises")
