"""Plays a script of writes, readers, cuts, seeks, trims, restarts and searches, turn by turn."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path

import trio
import trio.testing

from supervisor.errors import ShuttingDown
from supervisor.log.hits import Hit, SearchEnd
from supervisor.log.logfile import LogReader, log_path
from supervisor.log.pattern import Pattern
from supervisor.log.search import Bounds, LogSearch
from supervisor.log.search import Wanted as Sought
from supervisor.model import ProgramExited, Stream
from supervisor.spec import LogLimit, OnFull
from tests.web.scene import Scene, output, parsed
from tests.web.streams.calls import Calls, Killed
from tests.web.streams.ledger import Ledger, Witness
from tests.web.streams.steps import (
    Ack,
    AtOnce,
    Cut,
    During,
    Happen,
    Join,
    Kill,
    Look,
    Restart,
    Search,
    Seek,
    Step,
    Trim,
    Turns,
    Write,
)
from web.api.logbody import LogCursor, Wanted
from web.streams.batches import Batches
from web.streams.forms import BinaryForm, JsonForm
from web.streams.message import Message
from web.streams.viewer import Viewer, Wish

NEEDLE = b"a"


class Reader:
    """Somebody who reads, across cuts."""

    def __init__(self, wish: Join, witness: Witness, scene: Scene) -> None:
        self.wish = wish
        self.witness = witness
        self.scope: trio.CancelScope | None = None
        """While it is connected."""
        self.viewer: Viewer | None = None
        self.prompt = wish.prompt
        self.faults: list[str] = []
        self._scene = scene
        self._room = itertools.cycle(wish.room)
        self._sent: list[tuple[int, int]] = []

    def connect(self, viewer: Viewer | None) -> None:
        """What was sent over another connection counts no more."""
        self.viewer = viewer
        self._sent = []

    def say_now(self, message: Message) -> bool:
        """Told by the pump."""
        if self.scope is None or self.scope.cancel_called or not next(self._room):
            return False
        for event in self._scene.live.events:
            if event.run_seq > self.witness.seq and event.entry.log_offset <= self.witness.at:
                self.faults.append(f"told output before event {event.run_seq}")
        self.hear(message)
        return True

    def hear(self, message: Message) -> None:
        said = parsed(message)
        self.witness.hear(said)
        if any(part["type"] == "seek" for part in said):
            self._sent = []
        self._sent += ((part["next"], part["next"] - part["offset"]) for part in output(said))
        on_its_way = sum(count for _until, count in self._sent)
        if self.wish.window is not None and on_its_way > self.wish.window:
            self.faults.append(f"sent {on_its_way} bytes at once")
        if self.prompt:
            self.ack(self.witness.at)

    def ack(self, offset: int) -> None:
        if self.viewer:
            self._sent = [each for each in self._sent if each[0] > offset]
            self.viewer.ack(offset)


class Stage:
    """See the module. Everything that happens is decided by the script and the seed of Trio."""

    def __init__(self, directory: Path, limit: LogLimit | None, tasks: trio.Nursery) -> None:
        self._scene = Scene(directory, limit)
        keeps_last = limit is not None and limit.on_full is OnFull.TRUNCATE_HEAD
        self._most_kept = limit.max_bytes if limit and keeps_last else None
        self._ledger = Ledger(limit.max_bytes if limit and not keeps_last else None)
        self._tasks = tasks
        self._batches = Batches()
        self._calls = Calls()
        self._readers: list[Reader] = []
        self._patient = LogReader.open(directory, self._scene.run.id)
        self._trimming = False
        self._busy = False
        """Whether the one who writes is at work, and tells others of it."""

    async def play(self, steps: Sequence[Step]) -> None:
        """All of it, to the end of the run; then everybody must have been told everything."""
        self._scene.start()
        with self._calls.watched(), self._patient:
            for step in steps:
                await self._take(step)
            await self._finish()
            self._look(Look())
            self._search(Search())
        for reader in self._readers:
            events = None if reader.wish.plain else len(self._scene.live.events)
            reader.witness.check(self._ledger.size, events=events)
            assert not reader.faults

    async def _finish(self) -> None:
        self._calls.forget()
        for reader in self._readers:
            reader.prompt = True
            reader.ack(self._ledger.size)
        await self._settle()
        for reader in self._readers:
            self._connect(reader)
        await self._settle()
        self._scene.end()
        await self._settle()
        assert not any(reader.scope for reader in self._readers)

    async def _settle(self) -> None:
        """Wait until all wait. Whoever may be told has been told all there is then."""
        await trio.testing.wait_all_tasks_blocked()
        for reader in self._readers:
            if reader.scope and reader.prompt:
                reader.witness.check(self._ledger.size)

    async def _take(self, step: Step) -> None:
        match step:
            case Turns():
                await self._turn(step)
            case Write():
                await self._write_often(step)
            case Restart():
                await self._restart()
            case _:
                self._do(step)

    async def _turn(self, step: Turns) -> None:
        if step.count is None:
            await self._settle()
            return
        for _ in range(step.count):
            await trio.lowlevel.checkpoint()

    def _do(self, step: AtOnce | During | Kill | Happen | Search) -> None:
        """What takes no turn."""
        match step:
            case During(moments, later):
                self._calls.later(moments, lambda: self._do_at_once(later))
            case Kill():
                self._calls.kill(step.moments, step.written)
            case Happen():
                self._happen(step)
            case Search():
                self._search(step)
            case _:
                self._do_at_once(step)

    def _do_at_once(self, step: AtOnce) -> None:
        """What can also be done in the middle of something else."""
        match step:
            case Write():
                if not self._busy:
                    self._write(step)
            case Join():
                self._join(step)
            case Trim():
                self._trim()
            case Look():
                self._look(step)
            case _ if self._readers:
                self._disturb(self._readers[step.who % len(self._readers)], step)

    def _disturb(self, reader: Reader, step: Cut | Seek | Ack) -> None:
        viewer = reader.viewer
        match step:
            case Cut() if reader.scope is None:
                self._connect(reader)
            case Cut(politely=True) if viewer:
                viewer.leave()
            case Cut() if reader.scope:
                reader.scope.cancel()
            case Seek() if viewer:
                viewer.seek(step.where % (self._scene.log.size + 1))
            case Ack():
                reader.ack(reader.witness.at if step.offset is None else step.offset)

    # --- the writer

    async def _write_often(self, step: Write) -> None:
        for _ in range(step.times):
            if not self._write(step):
                await self._restart()
            await trio.lowlevel.checkpoint()

    def _write(self, step: Write) -> bool:
        """False if the writer was killed."""
        before = self._ledger.size
        # Whoever reads may see bytes before their writer knows that they are written.
        self._ledger.add(step.stream, step.data)
        if self._trimming:
            self._raise_floor()
        self._calls.writing = self._busy = True
        try:
            if step.spliced:
                self._splice(step)
            else:
                self._append(step)
        except Killed:
            size = log_path(self._scene.directory, self._scene.run.id).stat().st_size
            assert before <= size <= self._ledger.size
            self._ledger.cut(size)
            return False
        finally:
            self._calls.writing = self._busy = False
        assert self._scene.log.size == self._ledger.size
        return True

    def _happen(self, step: Happen) -> None:
        at = max(0, self._scene.log.size - step.ago)
        self._busy = True
        self._scene.happen(ProgramExited(exit_code=0, signal=None), at=at)
        self._busy = False

    def _append(self, step: Write) -> None:
        data = step.data
        while data:
            self._scene.time_us += 600
            written = self._scene.log.append(data, step.stream, time_us=self._scene.time_us)
            data = data[written:]

    def _splice(self, step: Write) -> None:
        ours, theirs = os.pipe()
        try:
            os.write(theirs, step.data)
            while self._scene.log.size < self._ledger.size:
                self._scene.log.splice(ours, step.stream)
        finally:
            os.close(ours)
            os.close(theirs)

    def _trim(self) -> None:
        """The oldest bytes are given back, if the log may be cut."""
        if self._trimming:
            return
        ledger, log = self._ledger, self._scene.log
        before = ledger.floor
        self._trimming = True
        try:
            self._raise_floor()
            log.sync()
            assert before <= log.oldest <= ledger.floor
            ledger.floor = log.oldest
        finally:
            self._trimming = False

    def _raise_floor(self) -> None:
        """As far as it may come while what is too much is given back."""
        if self._most_kept is not None:
            self._ledger.floor = max(self._ledger.floor, self._ledger.size - self._most_kept)

    async def _restart(self) -> None:
        connected = [reader for reader in self._readers if reader.scope]
        for reader in connected:
            assert reader.scope
            reader.scope.cancel()
        await self._settle()
        with self._calls.aside():
            self._scene.restart()
        assert self._scene.log.size == self._ledger.size
        self._batches = Batches()
        for reader in connected:
            self._connect(reader)

    # --- readers

    def _join(self, wish: Join) -> None:
        streams = tuple(Stream) if wish.stream is None else (wish.stream,)
        reader = Reader(wish, Witness(self._ledger, streams), self._scene)
        reader.witness.begin(min(wish.start, self._scene.log.size))
        self._readers.append(reader)
        self._connect(reader)

    def _connect(self, reader: Reader) -> None:
        """From where it was; what it sees first is seen now, before any turn."""
        if reader.scope is not None:
            return
        wish, witness, stack = reader.wish, reader.witness, ExitStack()
        view = stack.enter_context(self._scene.view())
        witness.begin(witness.at)
        reader.scope = trio.CancelScope()
        if wish.plain:
            cursor = LogCursor(view, Wanted(witness.at, None, wish.stream))
            self._tasks.start_soon(self._follow, reader, cursor, stack)
            return
        what = (wish.binary, wish.stream)
        recent = stack.enter_context(self._batches.watching(what))
        viewer = Viewer(
            view,
            self._scene.live.events,
            Wish(witness.at, wish.stream, wish.window, witness.seq),
            BinaryForm() if wish.binary else JsonForm(),
            recent,
            reader.say_now,
        )
        reader.connect(viewer)
        self._tasks.start_soon(self._watch, reader, viewer, stack)

    async def _watch(self, reader: Reader, viewer: Viewer, stack: ExitStack) -> None:
        assert reader.scope
        with stack, self._connected(reader), reader.scope:
            try:
                async with aclosing(viewer.messages(self._scene.shown)) as messages:
                    async for message in messages:
                        reader.hear(message)
                        if reader.wish.slow:
                            await trio.lowlevel.checkpoint()
            except ShuttingDown:
                return

    async def _follow(self, reader: Reader, cursor: LogCursor, stack: ExitStack) -> None:
        assert reader.scope
        with stack, self._connected(reader), reader.scope:
            while (pieces := await cursor.advance()) is not None:
                reader.witness.read(pieces)

    @contextmanager
    def _connected(self, reader: Reader) -> Iterator[None]:
        try:
            yield
        finally:
            reader.scope = None
            reader.connect(None)

    def _look(self, step: Look) -> None:
        """One from elsewhere, one beside the writer, and one who was there all the time."""
        with (
            LogReader.open(self._scene.directory, self._scene.run.id) as new,
            self._scene.view() as view,
        ):
            for reader in (new, view.reader, *(() if self._calls.nested else (self._patient,))):
                size = reader.size
                witness = Witness(self._ledger, tuple(Stream))
                witness.begin(step.start % (size + 1))
                while witness.at < size:
                    witness.read(reader.read(witness.at, 5))
                witness.check(witness.at)

    def _search(self, step: Search) -> None:
        """All hits, if nothing was given back meanwhile, and no byte that is none."""
        floor, found = self._ledger.floor, set()
        with LogReader.open(self._scene.directory, self._scene.run.id) as reader:
            expected = self._ledger.hits(NEEDLE[0], reader.size)
            work = LogSearch(
                reader,
                Pattern(NEEDLE.decode()).compile(),
                Sought(start=0, limit=1000),
                ended=False,
                bounds=Bounds(read=step.read),
            )
            for finding in work.findings():
                if isinstance(finding, Hit):
                    found.add((finding.stream, finding.line, finding.offset))
                    where = Stream[finding.stream.upper()], NEEDLE[0]
                    assert self._ledger.written[finding.offset] == where
                assert not isinstance(finding, SearchEnd) or finding.complete
        assert floor != self._ledger.floor or found == expected
