"""What one client of a stream types into the run, taken in its order and answered message by message.

The connection is read on while the run does not read, so that acknowledgements still count; so
what waits for the run is held here, and bounded.
"""

from __future__ import annotations

from collections import deque

import trio

from supervisor import messages
from supervisor.access.claims import Scope
from supervisor.errors import BadRequest, InputClosed, RunwireError
from supervisor.messages import Input
from supervisor.service import Supervisor
from supervisor.spec import TerminalSize
from supervisor.units import KIB
from web.streams.conversation import Conversation
from web.streams.message import Message

HELD_BYTES = 64 * KIB
"""Who says more than that without waiting for answers has not understood."""
_RESIZE_S = 0.1
_LEAST = 16
"""What an empty message counts for."""


class Keyboard:
    """One client's. `typed` and `resized` take a message in, and what comes of it is said."""

    def __init__(self, supervisor: Supervisor, run_id: str, conversation: Conversation) -> None:
        """Most clients only watch: nothing is at work before the first message."""
        self._supervisor = supervisor
        self._run_id = run_id
        self._conversation = conversation
        self._held = 0
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._size: TerminalSize | None = None

    def typed(self, message: Input) -> None:
        """Have it read by the run. Raises BadRequest if too much waits already."""
        data = message.data.encode("utf-8", "replace")
        if self._waiting and self._held + len(data) + _LEAST > HELD_BYTES:
            raise BadRequest(
                f"more than {HELD_BYTES // KIB} KiB of input wait: wait for the answers"
            )
        self._waiting.append((data, message.eof))
        self._held += len(data) + _LEAST
        if len(self._waiting) == 1:
            self._conversation.beside(self._pass_on)

    def resized(self, size: TerminalSize) -> None:
        """Have the run's terminal be as large as that; of several wishes the last one counts."""
        begin = self._size is None
        self._size = size
        if begin:
            self._conversation.beside(self._resize)

    async def _pass_on(self) -> None:
        """Hand over what waits, one message after the other, and answer each."""
        while self._waiting:
            data, eof = self._waiting[0]
            answer = await self._send(data, eof=eof)
            await self._conversation.say(Message(answer))
            # Only now: who finds nothing waiting begins anew.
            self._waiting.popleft()
            self._held -= len(data) + _LEAST

    async def _send(self, data: bytes, *, eof: bool) -> bytes:
        try:
            self._conversation.claims.require(Scope.RUNS_INPUT)
            taken = await self._supervisor.running.send_input(self._run_id, data, end=eof)
        except RunwireError as error:
            before = error.taken if isinstance(error, InputClosed) else 0
            return messages.input_message(before, error)
        return messages.input_message(taken.taken)

    async def _resize(self) -> None:
        while self._size is not None:
            size = self._size
            claims = self._conversation.claims
            try:
                claims.require(Scope.RUNS_INPUT)
                await self._supervisor.running.resize(self._run_id, size, claims.actor)
            except RunwireError as error:
                await self._conversation.say(Message(messages.resize_message(error)))
            # Each is an event for ever: of a window that is being drawn, some will do.
            await trio.sleep(_RESIZE_S)
            if self._size == size:
                self._size = None
