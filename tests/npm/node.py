"""Programs of the npm registry, run for a test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.patience import PATIENCE_S

HERE = Path(__file__).parent
Happening = dict[str, Any]


class Program:
    """A program, line by line."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._rest = b""

    async def line(self) -> str:
        """Its next line. Raises EOFError at the end."""
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            piece = await self.process.stdout.receive_some()
            if not piece:
                raise EOFError(self._rest)
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    async def say(self, text: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(text.encode() + b"\n")


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[Program]:
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


class Client:
    """The stock socket.io-client; everything that happened to it is in `happened`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.happened: list[Happening] = []

    async def until(self, condition: Callable[[Happening], bool]) -> Happening:
        """Read on to the first thing of which `condition` holds."""
        with trio.fail_after(PATIENCE_S):
            while True:
                happening: Happening = json.loads(await self.program.line())
                self.happened.append(happening)
                if condition(happening):
                    return happening

    async def until_event(self, event: str) -> Happening:
        return await self.until(lambda happening: happening["event"] == event)

    async def until_message(self, kind: str) -> Happening:
        """Read on to the next `run-event` of a type."""
        found = await self.until(lambda happening: happening.get("message", {}).get("type") == kind)
        message: Happening = found["message"]
        return message

    async def until_text(self, text: str) -> None:
        """Read on to the message that holds `text`."""
        await self.until(lambda happening: text in str(happening.get("message", {}).get("data")))

    async def do(self, **order: object) -> None:
        await self.program.say(json.dumps(order))

    def messages(self, client: int = 0) -> list[Happening]:
        """The `run-event`s of one of its sockets."""
        return [
            happening["message"]
            for happening in self.happened
            if happening["event"] == "run-event" and happening["client"] == client
        ]

    def count(self, event: str) -> int:
        return sum(happening["event"] == event for happening in self.happened)


@asynccontextmanager
async def client(
    port: int, run_id: str, token: str | None, *, count: int = 1, **options: Any
) -> AsyncIterator[Client]:
    """`io(url, {path: '/runs', auth: {token}, query: {runId}})`, and `options` besides."""
    auth = {} if token is None else {"token": token}
    options = {
        "path": "/runs",
        **options,
        "auth": {**auth, **options.get("auth", {})},
        "query": {"runId": run_id, **options.get("query", {})},
    }
    asked = {"url": f"http://127.0.0.1:{port}", "options": options, "count": count}
    async with running("node", "client.js", json.dumps(asked)) as program:
        yield Client(program)


def output(messages: list[Happening], *streams: str) -> str:
    """What the messages say that the run wrote; each byte once and in order, or AssertionError.

    Two pipes have no order between them: who wants one writes to one, or asks for one of `streams`.
    """
    at, seq, text = 0, 0, ""
    for message in messages:
        if message["type"] in {"stdout", "stderr"}:
            assert message["offset"] == at, message
            at = message["next"]
            if message["type"] in streams or not streams:
                text += message["data"]
        elif message["type"] == "status":
            assert message["seq"] == seq + 1, message
            seq += 1
    assert messages[-1]["type"] == "end"
    assert messages[-1]["offset"] == at
    return text
