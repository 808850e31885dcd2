"""This command's own terminal, lent to a run that is on one: keys go in, and its size goes along."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import trio

from supervisor.cli.output import say
from supervisor.client.api import Client, Reply
from supervisor.errors import Conflict, RunwireError, ServerUnreachable, Unavailable
from supervisor.model import Status
from supervisor.spec import OutputMode, TerminalSize
from supervisor.wire import RunView

T = TypeVar("T")

LEAVE = b"\x1d"
"""Ctrl-], as in telnet(1)."""
_PIECE_BYTES = 4096
_ASK_S = 0.1
_MOST = 1000


def own_size() -> TerminalSize | None:
    """The size of the terminal that this command is on; None if somebody else has it, or nobody."""
    if not (os.isatty(0) and os.isatty(1)):
        return None
    try:
        if os.tcgetpgrp(0) != os.getpgrp():
            return None
        columns, rows = os.get_terminal_size(1)
    except OSError:
        return None
    return TerminalSize(min(max(columns, 1), _MOST), min(max(rows, 1), _MOST))


async def lend_terminal(client: Client, run: RunView, leave: Callable[[], None]) -> None:
    """Type into `run` what is typed here, if it is on a terminal and so is this command.

    Returns when that has an end; the terminal is as it was then. Ctrl-] calls `leave`.
    """
    if run.spec.output is not OutputMode.PTY or own_size() is None:
        return
    if not await _started(client, run):
        return
    with _raw():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_follow_size, client, run.id)
            await _type(client, run.id, leave)
            nursery.cancel_scope.cancel()


async def _started(client: Client, run: RunView) -> bool:
    """Whether it runs, as soon as it does not wait any more."""
    while run.status is Status.QUEUED:
        await trio.sleep(_ASK_S)
        run = await _ask(partial(client.run, run.id)) or run
    return run.status is Status.RUNNING


async def _type(client: Client, run_id: str, leave: Callable[[], None]) -> None:
    while True:
        await trio.lowlevel.wait_readable(0)
        keys = os.read(0, _PIECE_BYTES)
        before, left, _ = keys.partition(LEAVE)
        while before:
            try:
                sent = await _call(partial(client.input, run_id, before))
            except (ServerUnreachable, Unavailable):
                break  # It may have been taken: nothing is typed twice.
            except Conflict:
                return  # It has ended, or reads no more.
            except RunwireError as exc:
                say(f"what you type does not reach the run: {exc.message}\r")
                return
            before = before[sent.value.taken :]
        if left or not keys:
            leave()
            return


async def _follow_size(client: Client, run_id: str) -> None:
    size = None
    with trio.open_signal_receiver(signal.SIGWINCH) as changes:
        while True:
            now = own_size()
            if now is not None and now != size:
                size = now
                await _ask(partial(client.resize, run_id, now))
            await anext(changes)


async def _ask(call: Callable[[], Reply[RunView]]) -> RunView | None:
    """The run that is answered; None if that was not to be had."""
    try:
        return (await _call(call)).value
    except RunwireError:
        return None


async def _call(call: Callable[[], Reply[T]]) -> Reply[T]:
    return await trio.to_thread.run_sync(call, abandon_on_cancel=True)


@contextmanager
def _raw() -> Iterator[None]:
    """Each key as it is typed, and output as it comes."""
    before = termios.tcgetattr(0)
    sys.stdout.flush()
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
