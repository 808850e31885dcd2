"""Viewers at the same place share what they are told; what each is told stays what it was."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import ShuttingDown
from supervisor.log.logfile import Chunk, LogReader, Piece
from supervisor.log.logwriter import LogWriter
from supervisor.model import Stream
from tests.web.scene import EVERYTHING, Said, Scene, parsed
from web.streams.batches import Batch, Batches, Recent, Shelf
from web.streams.forms import BinaryForm, JsonForm
from web.streams.message import Message
from web.streams.viewer import Viewer, Wish

OUT, ERR = Stream.STDOUT, Stream.STDERR


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
async def test_what_many_watch_is_read_and_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, binary: bool
) -> None:
    """Each of ten viewers is told all of it, and one of them has read it."""
    scene = Scene(tmp_path)
    reads: list[int] = []
    real, quick = LogReader.read, LogWriter.newest

    def read(reader: LogReader, offset: int, limit: int) -> list[Piece]:
        reads.append(offset)
        return real(reader, offset, limit)

    def newest(log: LogWriter, offset: int, limit: int) -> Chunk | None:
        chunk = quick(log, offset, limit)
        reads.extend([] if chunk is None else [offset])
        return chunk

    monkeypatch.setattr(LogReader, "read", read)
    monkeypatch.setattr(LogWriter, "newest", newest)
    told: list[list[Message]] = [[] for _ in range(10)]

    async def watch(number: int, batches: Batches) -> None:
        form = BinaryForm() if binary else JsonForm()

        def say_now(message: Message) -> bool:
            # One of them never has room at once, one only now and then.
            if number == 3 or (number == 4 and len(told[number]) % 3 == 0):
                return False
            told[number].append(message)
            return True

        with scene.view() as view, batches.watching("run") as recent:
            viewer = Viewer(view, scene.live.events, EVERYTHING, form, recent, say_now)
            async with aclosing(viewer.messages(scene.shown)) as messages:
                async for message in messages:
                    told[number].append(message)

    batches = Batches()
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(watch, number, batches)
        scene.start()
        await trio.testing.wait_all_tasks_blocked()
        reads.clear()
        for number in range(5):
            scene.write(OUT, b"line %d \xe2\x82" % number)
            scene.write(ERR, b"and \xac")
            await trio.testing.wait_all_tasks_blocked()
            scene.write(OUT, b"\xac\n")
            await trio.testing.wait_all_tasks_blocked()
        assert len(reads) == 15
        scene.end()
    said = [[part for message in messages for part in parsed(message)] for messages in told]
    assert all(parts == said[0] for parts in said)
    text = "".join(str(part["data"]) for part in said[0] if part["type"] == "stdout")
    assert binary or text == "".join(f"line {number} €\n" for number in range(5))
    assert len(frozenset.intersection(*(frozenset(map(id, them)) for them in told))) >= 10
    assert not vars(batches)["_recent"]


async def test_whoever_is_told_by_the_writer_can_still_seek_leave_and_be_told_of_events(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    said: list[Said] = []
    pushed: list[Said] = []

    def say_now(message: Message) -> bool:
        pushed.extend(parsed(message))
        said.extend(parsed(message))
        return True

    with scene.view() as view, Batches().watching("run") as recent:
        viewer = Viewer(view, scene.live.events, EVERYTHING, JsonForm(), recent, say_now)

        async def watch() -> None:
            with pytest.raises(ShuttingDown):  # noqa: PT012 - raised in the middle of it
                async for message in viewer.messages(scene.shown):
                    said.extend(parsed(message))

        async with trio.open_nursery() as nursery:
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            scene.write(OUT, b"one")
            await trio.testing.wait_all_tasks_blocked()
            scene.start()
            scene.write(OUT, b"two")
            await trio.testing.wait_all_tasks_blocked()
            viewer.seek(1)
            await trio.testing.wait_all_tasks_blocked()
            scene.write(OUT, b"three")
            await trio.testing.wait_all_tasks_blocked()
            viewer.leave()
    assert [part.get("event", part.get("data", part["type"])) for part in said] == [
        "one",
        "dispatched",
        "started",
        "two",
        "seek",
        "netwo",
        "three",
    ]
    assert [part["data"] for part in pushed] == ["one", "three"]


async def test_what_is_written_before_a_woken_viewer_has_its_turn_costs_it_nothing(
    tmp_path: Path,
) -> None:
    """With a write at every turn, more often than not another comes before that viewer."""
    scene = Scene(tmp_path)
    scene.start()
    said: list[Said] = []

    with scene.view() as view, Batches().watching("run") as recent:
        viewer = Viewer(
            view, scene.live.events, EVERYTHING, JsonForm(), recent, lambda _message: False
        )

        async def watch() -> None:
            async for message in viewer.messages(scene.shown):
                said.extend(parsed(message))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(300):
                scene.write(OUT, b"%d\n" % number)
                await trio.lowlevel.checkpoint()
            scene.end()
    text = "".join(str(part["data"]) for part in said if part["type"] == "stdout")
    assert text == "".join(f"{number}\n" for number in range(300))


async def test_a_bug_in_telling_costs_the_writer_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and every viewer goes on by itself."""
    scene = Scene(tmp_path)
    said: list[Said] = []

    def say_now(_message: Message) -> bool:
        raise ZeroDivisionError

    with scene.view() as view, Batches().watching("run") as recent:
        viewer = Viewer(view, scene.live.events, EVERYTHING, JsonForm(), recent, say_now)

        async def watch() -> None:
            async for message in viewer.messages(scene.shown):
                said.extend(parsed(message))

        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            scene.start()
            for text in (b"one", b"two", b"three"):
                await trio.testing.wait_all_tasks_blocked()
                scene.write(OUT, text)
            await trio.testing.wait_all_tasks_blocked()
            scene.end()
    assert "ZeroDivisionError" in caplog.text
    assert [part["data"] for part in said if part["type"] == "stdout"] == ["one", "two", "three"]


@given(
    writes=st.lists(
        st.tuples(st.sampled_from([OUT, ERR]), st.binary(min_size=1, max_size=6)), max_size=12
    ),
    windows=st.lists(st.one_of(st.none(), st.integers(1, 9)), min_size=2, max_size=4),
    starts=st.lists(st.integers(0, 10), min_size=4, max_size=4),
)
def test_sharing_changes_nothing_that_anybody_is_told(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[tuple[Stream, bytes]],
    windows: list[int | None],
    starts: list[int],
) -> None:
    """Whatever the cuts, the windows and the places where they begin."""

    async def compare() -> None:
        scene = Scene(tmp_path_factory.mktemp("scene"))
        for stream, data in writes:
            scene.write(stream, data)
        scene.start()
        scene.end()
        wishes = [
            Wish(start=min(start, scene.log.size), window=window)
            for start, window in zip(starts, windows, strict=False)
        ]
        alone = [texts(await scene.told(wish)) for wish in wishes]
        recent = Recent(Shelf())
        recent.viewers = 2
        shared: dict[int, list[Said]] = {}

        async def watch(number: int) -> None:
            told: list[Said] = []
            with scene.view() as view:
                viewer = Viewer(view, scene.live.events, wishes[number], JsonForm(), recent)
                async with aclosing(viewer.messages(scene.shown)) as messages:
                    async for message in messages:
                        told += parsed(message)
                        if "next" in told[-1]:
                            viewer.ack(told[-1]["next"])
                        await trio.lowlevel.checkpoint()
            shared[number] = told

        async with trio.open_nursery() as nursery:
            for number in range(len(wishes)):
                nursery.start_soon(watch, number)
        assert [texts(shared[number]) for number in range(len(wishes))] == alone

    trio.run(compare)


def texts(said: list[Said]) -> dict[str, str]:
    """The text of each stream."""
    return {
        kind: "".join(part["data"] for part in said if part["type"] == kind)
        for kind in ("stdout", "stderr")
    }


def test_only_so_much_is_kept_of_all_runs_and_nothing_for_one_viewer() -> None:
    """The oldest go first, whose run they are of does not matter."""
    batches = Batches(limit=16 * (1024 + len(Message(b"{}").frame)))
    batches_at = [
        Batch((n, None), (Message(b"{}"),), (n + 1, None), ((n + 1, 1),)) for n in range(100)
    ]
    with batches.watching("run") as recent:
        recent.keep(batches_at[0])
        assert recent.find((0, None)) is None
        with batches.watching("run") as same, batches.watching("other") as other:
            assert same is recent
            assert other is not recent
            for batch in batches_at:
                recent.keep(batch)
            assert [n for n in range(100) if recent.find((n, None))] == [*range(84, 100)]
            other.viewers += 1
            other.keep(batches_at[5])
            other.keep(batches_at[5])
            other.viewers -= 1
            assert other.find((5, None)) is batches_at[5]
            assert [n for n in range(100) if recent.find((n, None))] == [*range(85, 100)]
    with batches.watching("run") as later:
        assert later.find((99, None)) is None
