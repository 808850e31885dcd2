"""What is done to a run that somebody sits at: `POST /runs/{id}/input` and `/resize`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from quart import Response

from supervisor.spec import TerminalSize
from web.api.call import Call, answer

PATIENCE_S = 10.0
"""How long an answer waits for a run that reads slowly."""


class InputQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of `POST /runs/{id}/input`."""

    eof: Annotated[bool, Meta(description="Whether that was all: the run finds its end.")] = False


async def send_input(call: Call, run_id: str) -> Response:
    """Hands the body to the run, as its input."""
    query = call.query(InputQuery)
    await call.run(run_id)
    data = await call.bytes()
    taken = await call.supervisor.running.send_input(
        run_id, data, end=query.eof, patience_s=PATIENCE_S
    )
    return answer(taken)


async def resize(call: Call, run_id: str) -> Response:
    """Gives the run's terminal another size."""
    size = await call.body(TerminalSize)
    await call.run(run_id)
    return answer(call.view(await call.supervisor.running.resize(run_id, size, call.claims.actor)))
