"""One viewer: every byte once and in order, whatever is written, joined, cut and resumed when."""

from __future__ import annotations

import json
import tempfile
from contextlib import aclosing
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import RangeNotSatisfiable, Stalled
from supervisor.log import logindex
from supervisor.log.logfile import index_path
from supervisor.log.logindex import Header
from supervisor.model import Stream
from supervisor.units import KIB
from tests.patience import PATIENCE_S
from tests.web.scene import (
    DONE,
    EVERYTHING,
    Said,
    Scene,
    Write,
    covering,
    decoded,
    output,
    parsed,
    raw,
    text,
)
from web.streams.viewer import STALL_S, Wish

OUT, ERR = Stream.STDOUT, Stream.STDERR
# Characters of one to four bytes, in pieces and broken, with bytes that are never UTF-8.
BYTES = st.sampled_from(
    [b"a", b"\n", "é".encode(), "€".encode(), "😀".encode(), b"\xff", b"\xe2", b"\xf0\x9f", b"\x80"]
)
DATA = st.lists(BYTES, max_size=5).map(b"".join) | st.binary(max_size=6)
WRITES = st.lists(st.tuples(st.sampled_from(Stream), DATA), max_size=8)
PAUSES_US = st.sampled_from([1000, 50_000, 200_000])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def write_all(scene: Scene, writes: list[Write], draw: st.DataObject) -> None:
    """The writes, some in one go and some cut, which no one may notice."""
    for stream, data in writes:
        cut = draw.draw(st.integers(0, len(data)))
        scene.write(stream, data[:cut], later_us=draw.draw(PAUSES_US))
        scene.write(stream, data[cut:], later_us=draw.draw(PAUSES_US))


def contiguous(said: list[Said], start: int) -> int:
    """Check that messages follow each other without a hole; where they lead."""
    for message in output(said):
        assert message["offset"] == start
        start = message["next"]
    return start


# --- text and bytes ------------------------------------------------------------------------------


@given(WRITES, st.data())
async def test_from_any_offset_on_a_viewer_is_told_what_the_whole_log_says_there(
    writes: list[Write], draw: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        write_all(scene, writes, draw)
        scene.end()
        start = draw.draw(st.integers(0, scene.log.size))
        window = draw.draw(st.none() | st.integers(1, 5))
        said = await scene.told(Wish(start=start, window=window))
        exact = await scene.told(Wish(start=start, window=window), binary=True)
    assert contiguous(said, start) == contiguous(exact, start) == scene.log.size
    for stream in Stream:
        assert text(said, stream) == decoded(writes, stream, start)
        assert b"".join(m["data"] for m in output(exact, stream)) == raw(writes, stream, start)


@given(WRITES, st.sampled_from(Stream), st.data())
async def test_a_viewer_of_one_stream_is_told_that_stream_and_nothing_else(
    writes: list[Write], stream: Stream, draw: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        write_all(scene, writes, draw)
        scene.end()
        start = draw.draw(st.integers(0, scene.log.size))
        wish = Wish(start=start, stream=stream, window=draw.draw(st.none() | st.integers(1, 3)))
        with trio.fail_after(PATIENCE_S):
            said = await scene.told(wish)
            exact = await scene.told(wish, binary=True)
    assert output(said) == output(said, stream)
    assert text(said, stream) == decoded(writes, stream, start)
    assert b"".join(m["data"] for m in output(exact)) == raw(writes, stream, start)
    offsets = [m["offset"] for m in output(said)]
    assert offsets == sorted(offsets)


@given(WRITES, st.data())
async def test_a_viewer_that_is_cut_and_resumes_has_everything_once(
    writes: list[Write], draw: st.DataObject
) -> None:
    """However often and wherever it is cut, while the log grows and after; statuses too."""
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        scene.start()
        left = list(writes)
        said: list[Said] = []
        at, seq = 0, 0
        while not said or said[-1]["type"] != "end":
            if left:
                scene.write(*left.pop(0), later_us=draw.draw(PAUSES_US))
                if len(left) == 2:
                    scene.happen(DONE)  # stands for any event in the middle
            elif not scene.live.log_complete and draw.draw(st.booleans()):
                scene.end()
            new = await scene.told_so_far(
                Wish(start=at, seq=seq), at_most=draw.draw(st.integers(1, 3))
            )
            said = covering(said) + new
            at = max([at, *(m["next"] for m in output(new))])
            seq = max([seq, *(m["seq"] for m in new if m["type"] == "status")])
            if not left and not new and not scene.live.log_complete:
                scene.end()
    contiguous(said, 0)
    for stream in Stream:
        assert text(said, stream) == decoded(writes, stream)
    seqs = [m["seq"] for m in said if m["type"] == "status"]
    assert seqs == list(range(1, len(scene.live.events) + 1))


async def test_a_character_may_be_larger_than_the_window(scene: Scene) -> None:
    scene.write(OUT, "a😀b".encode())
    scene.end()
    said = await scene.told(Wish(window=1))
    assert [m["data"] for m in output(said)] == ["a", "", "", "", "😀", "b"]


async def test_a_character_that_another_stream_cuts_in_two_comes_whole(scene: Scene) -> None:
    scene.write(OUT, b"\xe2\x82")
    scene.write(ERR, b"x")
    scene.write(OUT, b"\xac")
    scene.end()
    said = await scene.told()
    assert [(m["type"], m["data"]) for m in output(said)] == [
        ("stdout", ""),
        ("stderr", "x"),
        ("stdout", "€"),
    ]


async def test_an_unfinished_character_is_told_at_the_end_in_a_message_that_covers_nothing(
    scene: Scene,
) -> None:
    scene.write(OUT, b"caf\xc3")
    scene.end()
    said = await scene.told()
    assert [(m["data"], m["offset"], m["next"]) for m in output(said)] == [
        ("caf", 0, 4),
        ("\ufffd", 4, 4),
    ]
    times = {m["time"] for m in output(said)}
    assert len(times) == 1
    again = await scene.told(Wish(start=4))
    assert output(again) == output(said)[1:]  # and with the same time


async def test_a_viewer_of_one_stream_hears_nothing_of_what_the_other_left_unfinished(
    scene: Scene,
) -> None:
    scene.write(ERR, b"\xe2")
    scene.write(OUT, b"x")
    scene.end()
    assert text(await scene.told(Wish(start=1, stream=OUT)), ERR) == ""


async def test_no_message_of_output_is_longer_than_many_clients_take(scene: Scene) -> None:
    """1 MiB is where trio-websocket and others stop; control characters grow most in JSON."""
    scene.write(OUT, bytes(600 * KIB))
    scene.end()
    with scene.view() as view:
        async with aclosing(scene.viewer(view).messages(scene.shown)) as messages:
            lengths = [len(message.payload) async for message in messages]
    assert max(lengths) < 1024 * KIB
    assert sum(lengths) > 6 * 600 * KIB


async def test_what_came_at_different_times_is_told_with_its_times(scene: Scene) -> None:
    for _ in range(3):
        scene.write(OUT, b"line\n", later_us=10_000)
    scene.write(OUT, b"much later\n", later_us=60_000_000)
    scene.end()
    for binary in (False, True):
        said = output(await scene.told(binary=binary))
        assert [(m["offset"], m["next"]) for m in said] == [(0, 15), (15, 26)]


# --- where it begins -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wished", "start"),
    [(-1, 10), (-2, 6), (-5, 6), (-6, 4), (-8, 0), (-100, 0), (-(10**30), 0), (11, 11)],
)
async def test_a_negative_start_is_that_many_bytes_back_and_then_to_the_start_of_the_line(
    scene: Scene, wished: int, start: int
) -> None:
    scene.write(OUT, b"one\nx\ntwo\n\n")
    scene.end()
    # -5 is the 6th byte, the start of "two"; -6 the newline before it, on the line "x".
    assert contiguous(await scene.told(Wish(start=wished)), start) == 11


@pytest.mark.parametrize("start", [5, 2**64, 10**30])
@pytest.mark.parametrize("binary", [False, True])
async def test_beyond_the_end_there_is_nothing_to_see_and_no_end_either(
    scene: Scene, start: int, binary: bool
) -> None:
    scene.write(OUT, b"four")
    scene.end()
    with pytest.raises(RangeNotSatisfiable):
        await scene.told(Wish(start=start), binary=binary)


async def test_a_log_that_is_still_empty_begins_at_0_however_far_back(scene: Scene) -> None:
    with scene.view() as view:
        viewer = scene.viewer(view, Wish(start=-100))
        scene.write(OUT, b"first")
        scene.end()
        async with aclosing(viewer.messages(scene.shown)) as messages:
            said = [part async for message in messages for part in parsed(message)]
    assert text(said, OUT) == "first"


# --- gaps ----------------------------------------------------------------------------------------


def trim(scene: Scene, floor: int) -> None:
    """Give up the bytes before `floor`, as retention does: the floor is what tells."""
    with index_path(scene.directory, scene.run.id).open("r+b") as file:
        file.write(logindex.pack_header(Header(floor, 0)))


@pytest.mark.parametrize("stream", [None, OUT])
async def test_what_was_given_up_is_one_gap_and_then_the_log_goes_on(
    scene: Scene, stream: Stream | None
) -> None:
    scene.write(OUT, b"a" * 100)
    scene.start()  # its place in the log is in the gap
    scene.write(OUT, b"b" * 100)
    scene.end()
    trim(scene, 150)
    said = await scene.told(Wish(start=20, stream=stream))
    assert [m for m in said if m["type"] == "gap"] == [
        {"type": "gap", "from": 20, "to": 150, "reason": "trimmed"}
    ]
    assert text(said, OUT) == "b" * 50
    assert [m["data"] for m in said if m["type"] == "status"] == ["queued", "running", "succeeded"]


async def test_a_character_cut_by_a_gap_is_told_before_it(scene: Scene) -> None:
    scene.write(OUT, "€uro".encode())
    with scene.view() as view:
        viewer = scene.viewer(view, Wish(window=1))
        async with aclosing(viewer.messages(scene.shown)) as messages:
            first = parsed(await anext(messages))
            trim(scene, 4)
            scene.end()
            viewer.ack(1)
            rest = []
            async for message in messages:
                rest += parsed(message)
                viewer.ack(rest[-1].get("next", 0))
    assert [(m["type"], m.get("data", m.get("to"))) for m in first + rest][:4] == [
        ("stdout", ""),
        ("stdout", "\ufffd"),
        ("gap", 4),
        ("stdout", "r"),
    ]


# --- statuses ------------------------------------------------------------------------------------


async def test_statuses_stand_at_their_place_between_the_output(scene: Scene) -> None:
    scene.start()
    scene.write(OUT, b"one")
    scene.happen(DONE)
    scene.write(OUT, b"two")
    scene.end()
    said = [(m["type"], m["data"]) for m in await scene.told() if "data" in m]
    assert said == [
        ("status", "queued"),
        ("status", "running"),
        ("stdout", "one"),
        ("status", "succeeded"),
        ("stdout", "two"),
        ("status", "succeeded"),
    ]


@pytest.mark.parametrize("start", [0, 3, 6])
@pytest.mark.parametrize("seq", [-(10**20), 0, 1, 2, 4, 10**20])
async def test_statuses_already_seen_are_not_told_again_wherever_one_begins(
    scene: Scene, start: int, seq: int
) -> None:
    scene.start()
    scene.write(OUT, b"onetwo")
    scene.end()
    said = await scene.told(Wish(start=start, seq=seq))
    assert [m["seq"] for m in said if m["type"] == "status"] == [n for n in (1, 2, 3) if n > seq]
    assert said[-1]["type"] == "end"


async def test_an_event_whose_place_a_crash_took_away_is_told_at_the_end(scene: Scene) -> None:
    scene.start()
    scene.write(OUT, b"kept")
    scene.happen(DONE, at=5000)
    scene.end()
    with trio.fail_after(PATIENCE_S):
        said = await scene.told()
    assert text(said, OUT) == "kept"
    assert [m["seq"] for m in said if m["type"] == "status"] == [1, 2, 3, 4]


# --- live ----------------------------------------------------------------------------------------


class Watching:
    """A viewer at work, stepped by the test."""

    def __init__(self, scene: Scene, wish: Wish = EVERYTHING) -> None:
        self.said: list[Said] = []
        self.view = scene.view()
        self.viewer = scene.viewer(self.view, wish)
        self._scene = scene
        self.hold: trio.Event | None = None

    async def watch(self) -> None:
        async with aclosing(self.viewer.messages(self._scene.shown)) as messages:
            async for message in messages:
                self.said += parsed(message)
                if self.hold is not None:
                    await self.hold.wait()
        self.view.close()


async def test_live_output_is_told_as_it_comes(scene: Scene, nursery: trio.Nursery) -> None:
    watching = Watching(scene)
    nursery.start_soon(watching.watch)
    for number in range(5):
        await trio.testing.wait_all_tasks_blocked()
        scene.write(OUT, b"%d" % number)
        await trio.testing.wait_all_tasks_blocked()
        assert text(watching.said, OUT) == "01234"[: number + 1]
    scene.end()
    await trio.testing.wait_all_tasks_blocked()
    assert watching.said[-1]["type"] == "end"


@pytest.mark.parametrize("what", ["output", "status", "end", "all"])
async def test_nothing_that_happens_while_a_message_is_being_sent_is_slept_through(
    scene: Scene, nursery: trio.Nursery, what: str
) -> None:
    """Between the last look and the wait for more there must be no await."""
    scene.write(OUT, b"x")
    for held_at in ("a message of output", "a status"):
        watching = Watching(scene)
        watching.hold = trio.Event()
        if held_at == "a status":
            scene.happen(DONE)
        nursery.start_soon(watching.watch)
        await trio.testing.wait_all_tasks_blocked()
        assert len(watching.said) == 1
        if what in {"output", "all"}:
            scene.write(OUT, b"y")
        if what in {"status", "all"}:
            scene.happen(DONE)
        if what in {"end", "all"} and held_at == "a status":
            scene.end()
        watching.hold.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(text(watching.said, OUT)) == scene.log.size
        told = [m for m in watching.said if m["type"] == "status"]
        assert len(told) == len(scene.live.events)
        assert (watching.said[-1]["type"] == "end") is scene.live.ended.is_set()


async def test_a_byte_that_is_written_but_not_announced_is_told_as_it_is(scene: Scene) -> None:
    """Joined between the write and the wake-up: told at once, and not again by the wake-up."""
    fire = scene.log.grew
    scene.log.grew = type(fire)()  # the wake-up is lost
    scene.write(OUT, b"early")
    scene.log.grew = fire
    watching = Watching(scene)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.watch)
        await trio.testing.wait_all_tasks_blocked()
        assert text(watching.said, OUT) == "early"
        fire.fire()
        await trio.testing.wait_all_tasks_blocked()
        assert text(watching.said, OUT) == "early"
        scene.end()


async def test_an_index_record_without_its_bytes_yet_is_not_told(scene: Scene) -> None:
    """Joined between the index and the bytes: the record is written first and says nothing yet."""
    scene.write(OUT, b"a")
    scene.log._mark(ERR, scene.time_us + 5000)
    watching = Watching(scene)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.watch)
        await trio.testing.wait_all_tasks_blocked()
        assert contiguous(watching.said, 0) == 1
        scene.write(ERR, b"b", later_us=5000)
        scene.end()
    assert [(m["type"], m["data"]) for m in output(watching.said)] == [
        ("stdout", "a"),
        ("stderr", "b"),
    ]


async def test_the_end_waits_until_it_is_on_disk(scene: Scene, nursery: trio.Nursery) -> None:
    scene.write(OUT, b"all")
    watching = Watching(scene)
    nursery.start_soon(watching.watch)
    scene.live.log_complete = True
    scene.live.changed.fire()
    await trio.testing.wait_all_tasks_blocked()
    assert [m["type"] for m in watching.said] == ["stdout"]
    scene.end()
    await trio.testing.wait_all_tasks_blocked()
    assert [m["type"] for m in watching.said] == ["stdout", "status", "end"]


# --- windows and seeks ---------------------------------------------------------------------------


async def test_never_more_than_the_window_is_unacknowledged(
    scene: Scene, nursery: trio.Nursery
) -> None:
    for _ in range(20):
        scene.write(OUT, b"0123")
        scene.write(ERR, b"x" * 50)
    watching = Watching(scene, Wish(stream=OUT, window=6))
    nursery.start_soon(watching.watch)
    acknowledged = 0
    while acknowledged < 80:
        await trio.testing.wait_all_tasks_blocked()
        got = text(watching.said, OUT)
        assert acknowledged < len(got) <= acknowledged + 6
        for garbage in (-5, 0, -(10**30)):
            watching.viewer.ack(garbage)
        await trio.testing.wait_all_tasks_blocked()
        assert text(watching.said, OUT) == got
        acknowledged = len(got)
        watching.viewer.ack(output(watching.said)[-1]["next"])
    assert text(watching.said, OUT) == "0123" * 20
    scene.end()


async def test_the_end_does_not_wait_for_an_acknowledgement(scene: Scene) -> None:
    scene.write(OUT, b"1234")
    scene.end()
    watching = Watching(scene, Wish(window=4))
    with trio.fail_after(PATIENCE_S):
        await watching.watch()
    assert watching.said[-1]["type"] == "end"


async def test_a_viewer_that_acknowledges_nothing_for_a_minute_is_stalled(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """Old acknowledgements over and over are no progress; a byte is."""
    scene.write(OUT, b"1234567890")
    watching = Watching(scene, Wish(window=2))
    began = trio.current_time()

    async def acknowledge() -> None:
        for _ in range(4):
            await trio.sleep(STALL_S / 2)
            watching.viewer.ack(2)  # new only the first time
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(acknowledge)
        with pytest.raises(Stalled):
            await watching.watch()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == 1.5 * STALL_S
    assert text(watching.said, OUT) == "1234"


async def test_a_viewer_that_waits_for_more_is_not_stalled(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """It has taken all there is, with its window full to the brim."""
    scene.write(OUT, b"12")
    watching = Watching(scene, Wish(window=2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.watch)
        await trio.sleep(10 * STALL_S)
        scene.end()
    assert watching.said[-1]["type"] == "end"


async def test_a_seek_is_answered_and_the_log_goes_on_from_there(
    scene: Scene, nursery: trio.Nursery
) -> None:
    scene.start()
    scene.write(OUT, b"one\ntwo\n")
    watching = Watching(scene)
    nursery.start_soon(watching.watch)
    for offset, answer in ((2, 2), (-3, 4), (8, 8), (-(10**30), 0)):
        await trio.testing.wait_all_tasks_blocked()
        watching.said.clear()
        watching.viewer.seek(offset)
        await trio.testing.wait_all_tasks_blocked()
        assert watching.said[0] == {"type": "seek", "from": answer}
        assert text(watching.said, OUT) == "one\ntwo\n"[answer:]
        assert all(m["type"] != "status" for m in watching.said)  # they were told
    scene.end()


async def test_a_seek_frees_a_full_window(scene: Scene, nursery: trio.Nursery) -> None:
    scene.write(OUT, b"123456")
    watching = Watching(scene, Wish(window=2))
    nursery.start_soon(watching.watch)
    await trio.testing.wait_all_tasks_blocked()
    watching.viewer.seek(4)
    scene.end()
    await trio.testing.wait_all_tasks_blocked()
    assert [m.get("data", m.get("from")) for m in watching.said[:3]] == ["12", 4, "56"]


async def test_a_seek_wakes_nobody_else(scene: Scene, nursery: trio.Nursery) -> None:
    watching = Watching(scene)
    nursery.start_soon(watching.watch)
    await trio.testing.wait_all_tasks_blocked()
    woken = False

    async def other() -> None:
        nonlocal woken
        await scene.live.changed.wait()
        woken = True

    nursery.start_soon(other)
    await trio.testing.wait_all_tasks_blocked()
    watching.viewer.seek(0)
    await trio.testing.wait_all_tasks_blocked()
    assert watching.said == [{"type": "seek", "from": 0}]
    assert not woken
    scene.end()


async def test_a_seek_beyond_the_end_is_refused(scene: Scene) -> None:
    scene.write(OUT, b"four")
    watching = Watching(scene)
    watching.viewer.seek(5)
    with pytest.raises(RangeNotSatisfiable):
        await watching.watch()


async def test_of_many_seeks_the_last_counts(scene: Scene) -> None:
    scene.write(OUT, b"0123456789")
    scene.end()
    watching = Watching(scene)
    for offset in range(10):
        watching.viewer.seek(offset)
    await watching.watch()
    assert [json.dumps(m) for m in watching.said[:1]] == ['{"type": "seek", "from": 9}']
    assert text(watching.said, OUT) == "9"
