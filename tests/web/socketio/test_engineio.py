"""One Engine.IO connection: what waits for the client, how long, and when it is given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from supervisor.errors import BadRequest
from web.socketio import engineio
from web.socketio.engineio import PING_INTERVAL_S, PING_TIMEOUT_S, Session
from web.socketio.packets import Kind, Packet

Talk = Callable[[Session], Awaitable[None]]
BIG = "4" + "x" * 100_000


@asynccontextmanager
async def opened(
    talk: Talk, *, websocket: bool = False, shutdown: trio.Event | None = None
) -> AsyncIterator[Session]:
    """A session whose first packet was taken."""
    session = Session(websocket=websocket)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run, talk, trio.Event() if shutdown is None else shutdown)
        (first,) = await session.poll() if not websocket else [await session.take()]
        assert first is not None
        assert first.startswith(Kind.OPEN)
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


def saying(*packets: str) -> Talk:
    async def talk(session: Session) -> None:
        for packet in packets:
            await session.say(packet)

    return talk


async def test_a_poll_waits_and_gets_all_that_is_there() -> None:
    go = trio.Event()

    async def talk(session: Session) -> None:
        await session.say("4a")
        await session.say("4b")
        await go.wait()

    async with opened(talk) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert await session.poll() == ["4a", "4b"]
        go.set()
        assert await session.poll() == [Kind.CLOSE]
        await trio.testing.wait_all_tasks_blocked()
        assert session.over
        assert await session.poll() == [Kind.NOOP]


async def test_the_close_comes_in_an_answer_of_its_own() -> None:
    async with opened(saying("4a", "4b")) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert await session.poll() == ["4a", "4b"]
        assert await session.poll() == [Kind.CLOSE]


async def test_no_more_than_one_batch_waits_for_a_client_that_takes_nothing() -> None:
    said: list[str] = []

    async def talk(session: Session) -> None:
        for _ in range(100):
            await session.say(BIG)
            said.append(BIG)

    async with opened(talk) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert len(said) == 3  # the first that makes it a batch is the last
        assert await session.poll() == said[:3]
        await trio.testing.wait_all_tasks_blocked()
        assert len(said) == 6


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
            assert await session.poll() == [Kind.PING]
            await session.hear(Packet(Kind.PONG))
        assert trio.current_time() >= 5 * PING_INTERVAL_S
        assert not session.over


async def test_a_client_that_answers_no_ping_is_gone(autojump_clock: MockClock) -> None:
    async with opened(silence) as session:
        began = trio.current_time()
        assert await session.poll() == [Kind.PING]
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
    async with opened(saying(BIG, BIG, BIG)) as session:
        await trio.sleep(PING_INTERVAL_S + 1)
        assert await session.take() == Kind.PING
        assert await session.take() == BIG


async def test_what_is_lost_on_its_way_ends_the_connection() -> None:
    async with opened(saying("4a")) as session:
        await session.poll()
        with pytest.raises(OSError, match="cut"), session.delivering():
            raise OSError("cut")
        await trio.testing.wait_all_tasks_blocked()
        assert session.over


async def test_it_lasts_until_the_last_word_was_delivered(autojump_clock: MockClock) -> None:
    async with opened(saying("4bye")) as session:
        await session.poll()
        with session.delivering():
            assert await session.poll() == [Kind.CLOSE]
            await trio.sleep(10)
            assert not session.over
        await trio.testing.wait_all_tasks_blocked()
        assert session.over


async def test_a_shutdown_waits_for_nobody_long(autojump_clock: MockClock) -> None:
    shutdown = trio.Event()
    async with opened(silence, shutdown=shutdown) as session:
        began = trio.current_time()
        shutdown.set()
        await ended(session)
        assert trio.current_time() - began < 1.5


async def test_while_a_websocket_is_tried_a_poll_ends_soon(autojump_clock: MockClock) -> None:
    async with opened(silence) as session:
        began = trio.current_time()
        with session.probing():
            assert await session.poll() == [Kind.NOOP]
            assert trio.current_time() - began < 1
            session.websocket = True
        assert await session.poll() == [Kind.NOOP]


async def test_a_poll_that_waits_is_ended_when_a_websocket_is_tried(
    autojump_clock: MockClock,
) -> None:
    async with opened(silence) as session, trio.open_nursery() as nursery:
        got: list[list[str]] = []

        async def poll() -> None:
            got.append(await session.poll())

        nursery.start_soon(poll)
        await trio.testing.wait_all_tasks_blocked()
        with session.probing():
            await trio.sleep(1)
        assert got == [[Kind.NOOP]]


async def test_after_the_change_no_poll_takes_what_the_websocket_is_to_have() -> None:
    async with opened(saying("4a")) as session:
        with session.probing():
            session.websocket = True
        assert await session.poll() == [Kind.NOOP]
        assert await session.take() == "4a"
        assert await session.take() == Kind.CLOSE
        assert await session.take() is None


async def test_what_is_offered_depends_on_how_the_client_began() -> None:
    polling, websocket = Session(websocket=False), Session(websocket=True)
    assert '"upgrades":["websocket"]' in (await polling.poll())[0]
    assert '"upgrades":[]' in str(await websocket.take())
    assert polling.sid != websocket.sid
    assert len(polling.sid) >= 20
    assert engineio.MAX_PAYLOAD_BYTES == 65536
