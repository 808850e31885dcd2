"""Whoever reads a log gets every byte of it once, in order and whole, whatever happens when.

A script of writes, readers, cuts, seeks, trims, kills, restarts and searches is played turn by
turn, and what each reader was told is held against the plain list of what was written. Things
happen between any two calls of the file system as well, where threads and processes meet: between
an index record and its bytes, between the bytes and the wake-up, between a new floor and the hole,
between a look at the index and the read.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.abc import Instrument
from trio.testing import MockClock

from supervisor.model import Stream
from supervisor.spec import LogLimit, OnFull
from tests.web.streams.stage import Stage
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

MOST_TURNS = 50_000
OUT, ERR = Stream.STDOUT, Stream.STDERR
KEEP_LAST, KEEP_FIRST = LogLimit(6, OnFull.TRUNCATE_HEAD), LogLimit(24, OnFull.STOP_CAPTURE)
KEEP_MORE = LogLimit(20, OnFull.TRUNCATE_HEAD)


class Guard(Instrument):
    """Ends what goes round in circles."""

    def __init__(self) -> None:
        self.turns = 0
        self.scope = trio.CancelScope()

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        self.turns += 1
        if self.turns > MOST_TURNS:
            self.scope.cancel()


def play(steps: Sequence[Step], limit: LogLimit | None = None) -> None:
    """All of it; raises if anybody was told anything else than what was written."""
    guard = Guard()

    async def main() -> None:
        with tempfile.TemporaryDirectory() as name, guard.scope:
            async with trio.open_nursery() as tasks:
                await Stage(Path(name), limit, tasks).play(steps)
                tasks.cancel_scope.cancel()
        assert not guard.scope.cancelled_caught, "somebody goes round in circles"

    trio.run(main, clock=MockClock(autojump_threshold=0), instruments=[guard])


STREAMS = st.sampled_from(Stream)
DATA = st.lists(
    st.sampled_from([b"a", b"b", b"\n", "é".encode(), "€".encode(), b"\xe2", b"\xf0\x9f", b"\x80"]),
    min_size=1,
    max_size=6,
).map(b"".join)
WHO = st.integers(0, 3)
PLACE = st.integers(0, 60)
WRITE = st.builds(Write, STREAMS, DATA, st.booleans())
JOIN = st.builds(
    Join,
    start=st.just(0) | PLACE,
    stream=st.sampled_from([None, None, OUT, ERR]),
    binary=st.booleans(),
    plain=st.sampled_from([False, False, False, True]),
    window=st.none() | st.integers(1, 9),
    room=st.just((True,)) | st.lists(st.booleans(), min_size=1, max_size=4).map(tuple),
    slow=st.booleans(),
    prompt=st.booleans(),
)
AT_ONCE = st.one_of(
    WRITE,
    JOIN,
    st.builds(Cut, WHO, st.booleans()),
    st.builds(Seek, WHO, PLACE),
    st.builds(Ack, WHO, st.none() | st.integers(-5, 2**63)),
    st.just(Trim()),
    st.builds(Look, PLACE),
)
STEP = st.one_of(
    WRITE,
    st.builds(Write, STREAMS, DATA, times=st.integers(2, 12)),
    AT_ONCE,
    st.builds(During, st.integers(0, 20), AT_ONCE),
    st.builds(Happen, st.integers(0, 9)),
    st.builds(Kill, st.integers(0, 6), st.integers(0, 16)),
    st.just(Restart()),
    st.builds(Search, st.integers(1, 16)),
)
TURNS = st.builds(Turns, st.sampled_from([0, 0, 1, 2, None, None]))
STEPS = st.builds(
    lambda joins, rest: [*joins, *itertools.chain.from_iterable(rest)],
    st.lists(JOIN, max_size=3),
    st.lists(st.tuples(STEP, TURNS), min_size=2, max_size=15),
)


@settings(max_examples=200)
@given(
    steps=STEPS,
    limit=st.sampled_from([None, KEEP_LAST, KEEP_MORE, KEEP_FIRST]),
    order=st.random_module(),
)
def test_everybody_is_told_just_what_was_written(
    steps: list[Step], limit: LogLimit | None, order: object
) -> None:
    play(steps, limit)


ALL, BINARY, ERRORS = Join(), Join(binary=True), Join(stream=ERR, slow=True)
BUSY, SLOW = Join(room=(True, False)), Join(room=(False,), slow=True)
NARROW, SILENT = Join(window=2), Join(window=2, prompt=False)
PLAIN = Join(plain=True)
NEWCOMERS: list[Join] = [ALL, BINARY, ERRORS, SLOW, NARROW, PLAIN, Join(start=5)]
BEFORE: list[Step] = [Write(OUT, "a\n€".encode()), Write(ERR, b"b\na\xe2")]
AFTER: list[Step] = [Write(ERR, b"\x82\xac\n"), Turns(1), Write(OUT, b"more\n"), Turns()]
UNDER_WAY: list[tuple[Step, LogLimit | None]] = [
    (Write(ERR, b"\x82"), None),
    (Write(ERR, b"\x82" * 20), KEEP_FIRST),
    (Write(OUT, b"a\n", spliced=True), None),
    (Write(OUT, b"a\n" * 10, spliced=True), KEEP_FIRST),
    (Trim(), KEEP_LAST),
    (Look(), KEEP_LAST),
    (Search(), KEEP_LAST),
    (Turns(), None),
    (Turns(), KEEP_LAST),
]
MEANWHILE: list[AtOnce] = [
    BINARY,
    SLOW,
    PLAIN,
    Write(OUT, b"in between"),
    Trim(),
    Look(),
    Cut(0),
    Cut(1, politely=True),
    Seek(0, 3),
]


@pytest.mark.parametrize(("under_way", "limit"), UNDER_WAY, ids=repr)
def test_whatever_happens_between_any_two_calls_of_the_file_system(
    under_way: Step, limit: LogLimit | None
) -> None:
    """Somebody comes, goes, writes or trims before, in and after each step of a write (index,
    bytes, wake-up), of a trim (floor, hole), of a read and of a search.
    """
    for moment in range(20 if isinstance(under_way, Trim) else 10):
        for what in MEANWHILE:
            steps: list[Step] = [
                *BEFORE,
                ALL,
                NARROW,
                Turns(),
                During(moment, what),
                under_way,
                Turns(1),
            ]
            play([*steps, *AFTER], limit)


@pytest.mark.parametrize("who", [*NEWCOMERS, BUSY, SILENT], ids=repr)
def test_output_at_every_turn_reaches_whoever_has_room_now_and_then(who: Join) -> None:
    """The pump comes again before those that it has woken have their turn."""
    for turns in range(4):
        play([who, ALL, Turns(turns), Write(OUT, b"12", times=30), Write(ERR, b"3", times=30)])
        play([Write(OUT, b"a" * 30), who, Turns(turns), Write(OUT, b"12", times=10), Restart()])


@pytest.mark.parametrize("who", [*NEWCOMERS, BUSY, SILENT], ids=repr)
def test_events_and_characters_come_whole_and_at_their_place(who: Join) -> None:
    for ago in range(6):
        steps: list[Step] = [
            *BEFORE,
            Turns(),
            Happen(ago),
            *AFTER,
            Happen(ago),
            Write(OUT, b"x"),
            Turns(),
        ]
        play([who, who, Turns(), *steps])
        play([who, Turns(), *steps, who, *AFTER, Trim(), *steps], KEEP_LAST)
        play([who, Turns(), *steps, *AFTER, *AFTER], KEEP_FIRST)
        cut_off: list[Step] = [
            Write(OUT, b"x" * (ago + 1)),
            Write(OUT, b"x" * (22 - ago) + b"\xe2"),
            *AFTER,
        ]
        play([who, ALL, Turns(), *cut_off], KEEP_FIRST)


@pytest.mark.parametrize("written", range(5))
@pytest.mark.parametrize("spliced", [False, True], ids=["appended", "spliced"])
def test_a_writer_killed_at_any_moment_leaves_no_byte_without_its_stream(
    written: int, *, spliced: bool
) -> None:
    for moment in range(6):
        for limit in (None, KEEP_LAST, KEEP_FIRST):
            killed: list[Step] = [
                Kill(moment, written),
                Write(ERR, b"abcd", spliced=spliced),
                Look(),
            ]
            play([ALL, PLAIN, *BEFORE, Turns(), *killed, *killed, *AFTER, Search()], limit)
