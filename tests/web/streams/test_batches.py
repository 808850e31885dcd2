"""Viewers at the same place share what they are told; what each is told stays what it was."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supervisor.log.logfile import LogReader, Piece
from supervisor.model import Stream
from tests.web.scene import EVERYTHING, Said, Scene, parsed
from web.streams.batches import Batch, Batches, Recent
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
    batches = Batches()
    reads: list[int] = []
    real = LogReader.read

    def read(reader: LogReader, offset: int, limit: int) -> list[Piece]:
        reads.append(offset)
        return real(reader, offset, limit)

    monkeypatch.setattr(LogReader, "read", read)
    said: list[list[Said]] = [[] for _ in range(10)]
    frames: list[set[int]] = [set() for _ in range(10)]

    async def watch(number: int) -> None:
        form = BinaryForm() if binary else JsonForm()
        with scene.view() as view, batches.watching("run") as recent:
            viewer = Viewer(view, scene.live.events, EVERYTHING, form, recent)
            async with aclosing(viewer.messages(scene.shown)) as messages:
                async for message in messages:
                    said[number] += parsed(message)
                    frames[number].add(id(message))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(watch, number)
        scene.start()
        await trio.testing.wait_all_tasks_blocked()
        reads.clear()
        for number in range(5):
            scene.write(OUT, b"line %d \xe2\x82" % number)
            scene.write(ERR, b"and \xac")
            await trio.testing.wait_all_tasks_blocked()
            scene.write(OUT, b"\xac\n")
            await trio.testing.wait_all_tasks_blocked()
        assert len(reads) == 10
        scene.end()
    assert all(told == said[0] for told in said)
    text = "".join(str(part["data"]) for part in said[0] if part["type"] == "stdout")
    assert binary or text == "".join(f"line {number} €\n" for number in range(5))
    assert len(frozenset.intersection(*map(frozenset, frames))) >= 10
    assert batches == Batches() or not vars(batches)["_recent"]


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
        recent = Recent()
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


def test_only_a_few_batches_are_kept_and_none_for_one_viewer() -> None:
    batches = Batches()
    batch = Batch((Message(b"{}"),), 1, ((1, 1),), None)
    with batches.watching("run") as recent:
        recent.keep((0, None), batch)
        assert recent.find((0, None)) is None
        with batches.watching("run") as same, batches.watching("other") as other:
            assert same is recent
            assert other is not recent
            for place in range(100):
                recent.keep((place, None), batch)
            assert [place for place in range(100) if recent.find((place, None))] == [96, 97, 98, 99]
    with batches.watching("run") as later:
        assert later.find((99, None)) is None
