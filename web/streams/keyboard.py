"""What one client of a stream types into the run, taken in its order and answered message by message.

The connection is read on while the run does not read, so that acknowledgements still count; so
what waits for the run is held here, and bounded.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from supervisor import messages
from supervisor.access.claims import Claims, Scope
from supervisor.errors import BadRequest, InputClosed, RunwireError
from supervisor.messages import Input
from supervisor.service import Supervisor
from supervisor.units import KIB
from web.streams.message import Message

HELD_BYTES = 64 * KIB
"""Who says more than that without waiting for answers has not understood."""


class Keyboard:
    """One client's. `heard` takes a message in, `pass_on` is what answers it."""

    def __init__(
        self,
        supervisor: Supervisor,
        run_id: str,
        claims: Callable[[], Claims],
        say: Callable[[Message], Awaitable[None]],
    ) -> None:
        """`claims` are those that the client has at the time."""
        self._supervisor = supervisor
        self._run_id = run_id
        self._claims = claims
        self._say = say
        self._held = 0
        self._give, self._take = trio.open_memory_channel[tuple[Input, bytes]](math.inf)

    def heard(self, message: Input) -> None:
        """Take a message in. Raises BadRequest if too much waits already."""
        data = message.data.encode("utf-8", "replace")
        # An empty message takes room as well.
        self._held += len(data) + 1
        if self._held > HELD_BYTES + 1:
            raise BadRequest(
                f"more than {HELD_BYTES // KIB} KiB of input wait: wait for the answers"
            )
        self._give.send_nowait((message, data))

    async def pass_on(self) -> None:
        """Hand over what was said, one message after the other, and answer each. Never returns."""
        async for message, data in self._take:
            await self._say(Message(await self._answer(message, data)))
            self._held -= len(data) + 1

    async def _answer(self, message: Input, data: bytes) -> bytes:
        try:
            self._claims().require(Scope.RUNS_INPUT)
            taken = await self._supervisor.send_input(self._run_id, data, end=message.eof)
        except RunwireError as error:
            return messages.input_message(
                error.taken if isinstance(error, InputClosed) else 0, error
            )
        return messages.input_message(taken.taken)
