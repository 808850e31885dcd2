"""One Engine.IO connection: what waits for the client, how long, and when it is given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from supervisor.errors import BadRequest
from web.socketio.engineio import LAST_WORDS_S, PING_INTERVAL_S, PING_TIMEOUT_S, Session
from web.socketio.packets import Kind, Packet

Talk = Callable[[Session], Awaitable[None]]
BIG = "x" * 100_000
CLOSE, NOOP, PING = Packet(Kind.CLOSE), Packet(Kind.NOOP), Packet(Kind.PING)


@asynccontextmanager
async def opened(talk: Talk, *, websocket: bool = False) -> AsyncIterator[Session]:
    """A session whose first packet was taken."""
    session = Session(websocket=websocket)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run, talk)
        (first,) = await session.poll() if not websocket else [await session.take()]
        assert first is not None
        assert first.kind is Kind.OPEN
        yield session
        nursery.cancel_scope.cancel()


async def silence(session: Session) -> None:
    del session
    await trio.sleep_forever()


async def ended(session: Session) -> None:
    """Return once it is over."""
    while not session.over:
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(0.1)


def saying(*messages: str) -> Talk:
    async def talk(session: Session) -> None:
        for message in messages:
            await session.say(message)

    return talk


def said(*messages: str) -> list[Packet]:
    return [Packet(Kind.MESSAGE, message) for message in messages]


async def test_a_poll_waits_and_gets_all_that_is_there() -> None:
    go = trio.Event()

    async def talk(session: Session) -> None:
        await session.say("a")
        await session.say("b")
        await go.wait()

    async with opened(talk) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert await session.poll() == said("a", "b")
        go.set()
        assert await session.poll() == [CLOSE]
        await trio.testing.wait_all_tasks_blocked()
        assert session.over
        assert await session.poll() == [NOOP]


async def test_the_close_comes_in_an_answer_of_its_own() -> None:
    async with opened(saying("a", "b")) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert await session.poll() == said("a", "b")
        assert await session.poll() == [CLOSE]


async def test_no_more_than_one_batch_waits_for_a_client_that_takes_nothing() -> None:
    taken = 0

    async def talk(session: Session) -> None:
        nonlocal taken
        for _ in range(100):
            await session.say(BIG)
            taken += 1

    async with opened(talk) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert taken == 3  # the first that makes it a batch is the last
        assert await session.poll() == said(BIG, BIG, BIG)
        await trio.testing.wait_all_tasks_blocked()
        assert taken == 6


async def test_two_polls_at_once_are_one_too_many() -> None:
    async with opened(silence) as session, trio.open_nursery() as nursery:
        nursery.start_soon(session.poll)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BadRequest):
            await session.poll()
        nursery.cancel_scope.cancel()


async def test_messages_are_heard_in_order() -> None:
    heard: list[str] = []

    async def talk(session: Session) -> None:
        while True:
            heard.append(await session.listen())

    async with opened(talk) as session:
        for number in range(30):
            await session.hear(Packet(Kind.MESSAGE, str(number)))
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [str(number) for number in range(30)]


async def test_a_client_that_says_more_than_is_heard_is_held_back(
    autojump_clock: MockClock,
) -> None:
    async with opened(silence) as session:
        with trio.move_on_after(1) as patience:
            for _ in range(100):
                await session.hear(Packet(Kind.MESSAGE, "x"))
        assert patience.cancelled_caught
        session.close()
        await session.hear(Packet(Kind.MESSAGE, "x"))


@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.PING, Kind.UPGRADE, Kind.NOOP])
async def test_some_packets_make_no_sense_from_a_client(kind: Kind) -> None:
    async with opened(silence) as session:
        with pytest.raises(BadRequest):
            await session.hear(Packet(kind))


async def test_a_client_that_closes_is_let_go() -> None:
    async with opened(silence) as session:
        await session.hear(Packet(Kind.CLOSE))
        await trio.testing.wait_all_tasks_blocked()
        assert session.over


async def test_a_client_that_answers_pings_stays(autojump_clock: MockClock) -> None:
    async with opened(silence) as session:
        for _ in range(5):
            assert await session.poll() == [PING]
            await session.hear(Packet(Kind.PONG))
        assert trio.current_time() >= 5 * PING_INTERVAL_S
        assert not session.over


async def test_a_client_that_answers_no_ping_is_gone(autojump_clock: MockClock) -> None:
    async with opened(silence) as session:
        began = trio.current_time()
        assert await session.poll() == [PING]
        with session.delivering():
            pass
        await ended(session)
        # It took the ping, which is a sign of life, and nothing after.
        assert trio.current_time() - began == pytest.approx(
            PING_INTERVAL_S + 2 * PING_TIMEOUT_S, abs=1
        )


async def test_a_client_that_takes_nothing_is_gone(autojump_clock: MockClock) -> None:
    async def talk(session: Session) -> None:
        while True:
            await session.say(BIG)

    async with opened(talk) as session:
        began = trio.current_time()
        await ended(session)
        assert trio.current_time() - began == pytest.approx(PING_INTERVAL_S + PING_TIMEOUT_S, abs=1)


async def test_a_client_that_is_slow_but_moving_stays(autojump_clock: MockClock) -> None:
    async def talk(session: Session) -> None:
        while True:
            await session.say(BIG)

    async with opened(talk) as session:
        for _ in range(20):
            await session.poll()
            with session.delivering():
                await trio.sleep(PING_INTERVAL_S + PING_TIMEOUT_S)
        assert not session.over


async def test_a_ping_does_not_wait_behind_what_a_slow_client_has_to_take(
    autojump_clock: MockClock,
) -> None:
    async def talk(session: Session) -> None:
        while True:
            await session.say(BIG)

    async with opened(talk) as session:
        await trio.sleep(PING_INTERVAL_S + 1)
        assert await session.take() == PING
        assert [await session.take()] == said(BIG)


async def test_what_is_lost_on_its_way_ends_the_connection() -> None:
    async with opened(saying("a")) as session:
        await session.poll()
        with pytest.raises(OSError, match="cut"), session.delivering():
            raise OSError("cut")
        await trio.testing.wait_all_tasks_blocked()
        assert session.over


async def test_it_lasts_until_the_last_word_was_delivered(autojump_clock: MockClock) -> None:
    async with opened(saying("bye")) as session:
        await session.poll()
        with session.delivering():
            assert await session.poll() == [CLOSE]
            await trio.sleep(10)
            assert not session.over
        await trio.testing.wait_all_tasks_blocked()
        assert session.over


async def test_who_lets_the_last_words_lie_there_is_left(autojump_clock: MockClock) -> None:
    async with opened(saying("bye")) as session:
        began = trio.current_time()
        await ended(session)
        assert trio.current_time() - began == pytest.approx(LAST_WORDS_S, abs=1)


async def test_who_takes_the_last_words_slowly_gets_them(autojump_clock: MockClock) -> None:
    async with opened(saying("one", "two")) as session:
        for word in ("one", "two"):
            await trio.sleep(LAST_WORDS_S - 1)
            assert [await session.take()] == said(word)
            with session.delivering():
                await trio.sleep(LAST_WORDS_S + 1)
        assert await session.take() == CLOSE


async def test_while_a_websocket_is_tried_a_poll_ends_soon(autojump_clock: MockClock) -> None:
    async with opened(silence) as session:
        began = trio.current_time()
        with session.probing():
            assert await session.poll() == [NOOP]
            assert trio.current_time() - began < 1
            session.websocket = True
        assert await session.poll() == [NOOP]


async def test_a_poll_that_waits_is_ended_when_a_websocket_is_tried(
    autojump_clock: MockClock,
) -> None:
    async with opened(silence) as session, trio.open_nursery() as nursery:
        got: list[list[Packet]] = []

        async def poll() -> None:
            got.append(await session.poll())

        nursery.start_soon(poll)
        await trio.testing.wait_all_tasks_blocked()
        with session.probing():
            await trio.sleep(1)
        assert got == [[NOOP]]


async def test_after_the_change_no_poll_takes_what_the_websocket_is_to_have() -> None:
    async with opened(saying("a")) as session:
        with session.probing():
            session.websocket = True
        assert await session.poll() == [NOOP]
        assert [await session.take()] == said("a")
        assert await session.take() == CLOSE
        assert await session.take() is None


async def test_what_is_offered_depends_on_how_the_client_began() -> None:
    polling, websocket = Session(websocket=False), Session(websocket=True)
    assert '"upgrades":["websocket"]' in (await polling.poll())[0].data
    assert '"upgrades":[]' in str(await websocket.take())


def test_nobody_can_guess_the_name_of_a_session() -> None:
    names = {Session(websocket=False).sid for _ in range(1000)}
    assert len(names) == 1000
    assert {len(name) for name in names} == {24}  # 18 random bytes
