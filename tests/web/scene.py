"""A run's log as it is written, and what a viewer of it has to be told."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio
import trio.testing

from supervisor import clock
from supervisor.frames import decode_output
from supervisor.live import LiveRun
from supervisor.log.logwriter import LogWriter
from supervisor.logview import LogView
from supervisor.model import SYSTEM, Dispatched, Entry, Event, Started, Stream, Succeeded
from supervisor.outcome import Exited
from supervisor.spec import LogLimit
from supervisor.testing import a_run, program
from supervisor.wire import EventView, LogInfo, RunView, show_run
from web.streams.forms import BinaryForm, JsonForm
from web.streams.message import Message
from web.streams.viewer import Viewer, Wish

Write = tuple[Stream, bytes]
Said = dict[str, Any]
DONE = Succeeded(outcome=Exited(exit_code=0))
EVERYTHING = Wish()
TIME_US = 1_700_000_000_000_000


class Scene:
    """One live run, whose output and events the test decides."""

    def __init__(self, directory: Path, limit: LogLimit | None = None) -> None:
        self.directory = directory
        self.limit = limit
        self.run = a_run(program("exit 0"))
        self.time_us = TIME_US
        self._take_up([])

    def _take_up(self, events: Sequence[EventView]) -> None:
        self.live = LiveRun(self.run, events)
        self.log = LogWriter.create(self.directory, self.run.id, self.limit)
        self.log.grew = self.live.changed
        self.live.log = self.log

    def restart(self) -> None:
        """Another server goes on with the run. Views of the old one are to be closed before."""
        self.log.close()
        self._take_up(self.live.events)

    def write(self, stream: Stream, data: bytes, *, later_us: int = 1000) -> None:
        """Output that comes `later_us` after the last."""
        self.time_us += later_us
        if data:
            self.log.append(data, stream, time_us=self.time_us)

    def happen(self, event: Event, *, at: int | None = None) -> None:
        """An event at the log's end, or at offset `at`."""
        entry = Entry(self.run.id, clock.now(), SYSTEM, event, self.log.size if at is None else at)
        number = len(self.live.events) + 1
        self.live.events.append(EventView(seq=number, run_seq=number, version=1, entry=entry))
        self.live.changed.fire()

    def start(self) -> None:
        self.happen(Dispatched("test"))
        self.happen(Started(None))

    def end(self, *, at: int | None = None) -> None:
        """The run ends, as the engine ends runs."""
        self.live.log_complete = True
        self.live.changed.fire()
        self.happen(DONE, at=at)
        self.live.ended.set()
        self.live.changed.fire()
        self.log.close()

    def view(self) -> LogView:
        return LogView(self.directory, self.run.id, self.live)

    async def shown(self) -> RunView:
        return show_run(self.run, LogInfo(self.log.size, 0))

    def viewer(self, view: LogView, wish: Wish = EVERYTHING, *, binary: bool = False) -> Viewer:
        return Viewer(view, self.live.events, wish, BinaryForm() if binary else JsonForm())

    async def told(self, wish: Wish = EVERYTHING, *, binary: bool = False) -> list[Said]:
        """What a viewer is told, to the end, who acknowledges everything."""
        said: list[Said] = []
        with self.view() as view:
            viewer = self.viewer(view, wish, binary=binary)
            async with aclosing(viewer.messages(self.shown)) as messages:
                async for message in messages:
                    said += parsed(message)
                    if "next" in said[-1]:
                        viewer.ack(said[-1]["next"])
        return said

    async def told_so_far(self, wish: Wish, *, at_most: int) -> list[Said]:
        """What a viewer is told before it is cut: `at_most` messages, or all there are now."""
        said: list[Said] = []

        async def listen() -> None:
            with self.view() as view:
                async with aclosing(self.viewer(view, wish).messages(self.shown)) as messages:
                    async for message in messages:
                        said.extend(parsed(message))
                        if len(said) >= at_most:
                            return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return said


def parsed(message: Message | str | bytes) -> list[Said]:
    """A message as a client sees it; frames of output as messages whose `data` are bytes."""
    if isinstance(message, Message):
        message = message.payload if message.binary else message.text
    if isinstance(message, str):
        said: Said = json.loads(message)
        return [said]
    return [
        {
            "type": frame.stream.label,
            "data": frame.data,
            "offset": frame.offset,
            "next": frame.next,
            "time_us": frame.time_us,
        }
        for frame in decode_output(message)
    ]


def output(said: Iterable[Said], stream: Stream | None = None) -> list[Said]:
    """The messages of output, of one stream or of all."""
    names = {each.label for each in Stream} if stream is None else {stream.label}
    return [message for message in said if message["type"] in names]


def text(said: Iterable[Said], stream: Stream) -> str:
    """What a stream said, as text."""
    return "".join(message["data"] for message in output(said, stream))


def covering(said: Iterable[Said]) -> list[Said]:
    """Without the messages that cover no bytes: those may come again after a resume."""
    return [m for m in said if m["type"] not in {"stdout", "stderr"} or m["offset"] < m["next"]]


def flat(writes: Iterable[Write]) -> list[tuple[Stream, int]]:
    """Every byte in order, with its stream: the plain list that everything is compared with."""
    return [(stream, byte) for stream, data in writes for byte in data]


def raw(writes: Iterable[Write], stream: Stream, start: int = 0) -> bytes:
    """The bytes of one stream from offset `start` of the log on."""
    return bytes(byte for owner, byte in flat(writes)[start:] if owner is stream)


def decoded(writes: Iterable[Write], stream: Stream, start: int = 0) -> str:
    """What the whole log's decoding says from offset `start` on: a character is told at the byte
    that completes it, and one that is never complete at the end.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    said = ""
    for offset, (owner, byte) in enumerate(flat(writes)):
        if owner is stream:
            piece = decoder.decode(bytes([byte]))
            said += piece if offset >= start else ""
    return said + decoder.decode(b"", final=True)
