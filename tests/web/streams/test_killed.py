"""A real server that is killed and comes back, against a plain list of bytes.

A run's output is written by the test. Viewers join, are cut and resume all the while; the server is
killed in the middle of everything. What it had taken in it still has, and every viewer ends with
exactly that.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed, HandshakeError

from supervisor.model import Stream
from tests.cli.conftest import Server
from tests.patience import PATIENCE_S
from tests.web.restless import Restless
from tests.web.scene import Write
from tests.web.watching import opened, watch

TOKEN = "devtoken"
PIECES = [b"a", b"\n", "é".encode(), "€".encode(), "😀".encode(), b"\xff", b"\xe2", b"\xf0\x9f"]
VIEWERS = 6
WRITES = 20


class Killable:
    """A server that is there, or will be again."""

    def __init__(self, directory: Path) -> None:
        self._server = Server(directory)
        self.up = trio.Event()
        self.down = trio.Event()

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self._server.url)
        return url.host, url.port or 0

    async def start(self) -> None:
        await trio.to_thread.run_sync(self._server.start)
        self.down = trio.Event()
        self.up.set()

    def kill(self) -> None:
        self.up = trio.Event()
        self._server.stop(signal.SIGKILL)
        self.down.set()

    def close(self) -> None:
        self._server.stop(signal.SIGKILL)

    async def submit(self, line: str) -> str:
        return str((await self._ask("POST", "/runs", {"shell": line}))["id"])

    async def run(self, run_id: str) -> dict[str, Any]:
        return await self._ask("GET", f"/runs/{run_id}")

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(
            base_url=self._server.url, headers=headers, timeout=PATIENCE_S
        ) as client:
            answer = await client.request(method, path, json=body)
        assert answer.is_success, answer.text
        shown: dict[str, Any] = answer.json()
        return shown


class Pen:
    """Writes what a run says."""

    def __init__(self, directory: Path, name: str) -> None:
        self._paths = {stream: directory / f"{name}.{stream.label}" for stream in Stream}
        for path in self._paths.values():
            os.mkfifo(path)
        self._fds: dict[Stream, int] = {}
        self.written: list[Write] = []
        """The plain list: what was written, in order."""

    @property
    def line(self) -> str:
        """The command to run."""
        out, err = (self._paths[stream] for stream in (Stream.STDOUT, Stream.STDERR))
        return f"cat '{out}' & cat '{err}' >&2; wait"

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in self.written)

    async def open(self) -> None:
        """Returns once the run is there."""
        self._fds = {stream: await opened(path) for stream, path in self._paths.items()}

    async def write(self, stream: Stream, data: bytes) -> None:
        self.written.append((stream, data))
        view = memoryview(data)
        while view:
            await trio.lowlevel.wait_writable(self._fds[stream])
            view = view[os.write(self._fds[stream], view) :]

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds = {}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Killable]:
    server = Killable(tmp_path)
    with ExitStack() as stack:
        stack.callback(server.close)
        yield server


def some_bytes(dice: random.Random) -> bytes:
    """Characters of all lengths, whole and broken; now and then more than is sent at once."""
    few = b"".join(dice.choices(PIECES, k=dice.randint(1, 40)))
    return few * (300 if dice.random() < 0.1 else 1)


def kept(writes: Sequence[Write], size: int) -> list[Write]:
    """The first `size` bytes of what was written."""
    result: list[Write] = []
    for stream, data in writes:
        result.append((stream, data[:size]))
        size -= len(result[-1][1])
    return result


async def keep_viewing(viewer: Restless, server: Killable) -> None:
    """View to the end, whatever becomes of the server in between."""
    while not viewer.has_everything:
        await server.up.wait()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(give_up_soon, server.down, nursery.cancel_scope)
                await viewer.view_some(server)
                nursery.cancel_scope.cancel()
        except* (ConnectionClosed, HandshakeError, OSError, trio.BrokenResourceError):
            # It was killed; whoever notices before it is known to be down tries once more.
            await trio.lowlevel.checkpoint()


async def give_up_soon(down: trio.Event, scope: trio.CancelScope) -> None:
    """This client does not notice that a server goes away in the middle of a handshake."""
    await down.wait()
    scope.deadline = trio.current_time() + 1


async def test_every_viewer_ends_with_what_the_server_had_taken_in(
    server: Killable, tmp_path: Path
) -> None:
    dice = random.Random(7)
    await server.start()
    for killed in (True, False, True):
        with trio.fail_after(2 * PATIENCE_S):
            await one_run(server, tmp_path, dice, killed=killed)


async def one_run(server: Killable, directory: Path, dice: random.Random, *, killed: bool) -> None:
    """A run to its end, or to the server's."""
    pen = Pen(directory, f"run{dice.random()}")
    run_id = await server.submit(pen.line)
    await pen.open()
    path = f"/runs/{run_id}/stream"
    seeds = [dice.randrange(1000) for _ in range(VIEWERS)]
    viewers = [Restless(path, seed, token=TOKEN) for seed in seeds]
    async with trio.open_nursery() as nursery:
        joining = list(viewers)
        async with watch(server, path, token=TOKEN) as scribe:
            for _ in range(WRITES):
                if joining and dice.random() < 0.3:
                    nursery.start_soon(keep_viewing, joining.pop(), server)
                await pen.write(dice.choice(list(Stream)), some_bytes(dice))
                # So that the order of the two streams is known.
                await scribe.hear_bytes(pen.size)
        taken_in = pen.size
        if killed:
            await pen.write(Stream.STDOUT, some_bytes(dice))
            server.kill()
            with suppress(OSError):
                pen.close()
            await server.start()
        else:
            pen.close()
        for viewer in joining:
            nursery.start_soon(keep_viewing, viewer, server)
    run = await server.run(run_id)
    size = run["log"]["size"]
    assert taken_in <= size <= pen.size
    assert killed or size == pen.size
    for viewer in viewers:
        ended = viewer.check(kept(pen.written, size))
        assert (ended["status"], ended.get("reason")) == (
            ("failed", "lost") if killed else ("succeeded", None)
        )
