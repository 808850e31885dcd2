"""Many viewers, many runs, and viewers that behave badly: nothing is lost and memory stays flat."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path

import pytest
import trio

from supervisor.testing import wait_until
from tests.cli.conftest import Server, serving
from tests.load.crowd import LIMITS, PATIENCE_S, Gate, Light, descriptors, memory_kib, viewer

MIB_KIB = 1024


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with serving(Server(tmp_path, LIMITS)) as server, closing(Gate(server)) as gate:
            yield gate
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def hear_all(lights: list[Light]) -> list[str]:
    """What each was told, to the end."""
    told = [""] * len(lights)

    async def hear(number: int) -> None:
        told[number] = await lights[number].all()

    async with trio.open_nursery() as nursery:
        for number in range(len(lights)):
            nursery.start_soon(hear, number)
    return told


async def test_a_thousand_viewers_of_one_run_are_told_every_line(gate: Gate) -> None:
    """At 20 lines a second; a viewer costs far less than 200 KiB, and time none."""
    run_id = gate.submit("for n in $(seq 60); do echo line $n; sleep 0.05; done")
    before = memory_kib(gate.server)
    async with AsyncExitStack() as stack:
        lights = [await stack.enter_async_context(viewer(gate.server, run_id)) for _ in range(1000)]
        there = memory_kib(gate.server)
        gate.open()
        told = await hear_all(lights)
        after = memory_kib(gate.server)
    assert set(told) == {"".join(f"line {number}\n" for number in range(1, 61))}
    assert there - before < 1000 * 200
    assert after - there < 20 * MIB_KIB


async def test_two_hundred_runs_at_once_with_a_viewer_each(gate: Gate) -> None:
    run_ids = [gate.submit("seq 200; echo err >&2; seq 200") for _ in range(200)]
    async with AsyncExitStack() as stack:
        lights = [await stack.enter_async_context(viewer(gate.server, it)) for it in run_ids]
        gate.open()
        told = await hear_all(lights)
    numbers = "".join(f"{number}\n" for number in range(1, 201))
    assert len(told) == 200
    assert {text.replace("err\n", "") for text in told} == {numbers * 2}


async def test_ten_stalled_viewers_among_a_hundred_cost_nobody_anything(gate: Gate) -> None:
    run_id = gate.submit("seq 200000")
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(viewer(gate.server, run_id, room=4096))
        lights = [await stack.enter_async_context(viewer(gate.server, run_id)) for _ in range(90)]
        gate.open()
        told = await hear_all(lights)
    assert set(told) == {"".join(f"{number}\n" for number in range(1, 200_001))}


async def test_nothing_is_kept_for_viewers_that_do_not_take_it(gate: Gate) -> None:
    """And they do not keep a server from its end."""
    run_id = gate.submit("seq 3000000")
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(viewer(gate.server, run_id, room=4096))
        reader = await stack.enter_async_context(viewer(gate.server, run_id))
        before = memory_kib(gate.server)
        gate.open()
        text = await reader.all()
        # What they all have not taken is ten times the log: 220 MiB.
        assert memory_kib(gate.server) - before < 32 * MIB_KIB
        assert text == "".join(f"{number}\n" for number in range(1, 3_000_001))
        gate.server.stop(signal.SIGTERM)  # which gives up before these viewers would be given up


async def test_viewers_that_come_and_go_leave_nothing_behind(gate: Gate) -> None:
    """As fast as they can, some in the middle of the handshake; one stays and hears it all."""
    run_id = gate.submit("for n in $(seq 40); do echo line $n; sleep 0.1; done")
    gone = 0

    async def come_and_go(seed: int) -> None:
        nonlocal gone
        for number in range(40):
            with suppress(trio.BrokenResourceError), trio.move_on_after((seed + number) % 5 / 100):
                async with viewer(gate.server, run_id) as light:
                    await light.message()
            gone += 1

    async with viewer(gate.server, run_id) as steady:
        open_before = len(descriptors(gate.server))
        gate.open()
        async with trio.open_nursery() as nursery:
            for seed in range(20):
                nursery.start_soon(come_and_go, seed)
        before = memory_kib(gate.server)
        async with trio.open_nursery() as nursery:
            for seed in range(20):
                nursery.start_soon(come_and_go, seed)
        assert await steady.all() == "".join(f"line {number}\n" for number in range(1, 41))
        assert memory_kib(gate.server) - before < 10 * MIB_KIB
    assert gone == 1600
    with trio.fail_after(PATIENCE_S):
        await wait_until(lambda: len(descriptors(gate.server)) <= open_before)


async def test_a_viewer_that_acknowledges_garbage_harms_nobody(gate: Gate) -> None:
    """It is told everything as long as it speaks the protocol, and closed with 4400 if not."""
    run_id = gate.submit("seq 100000")
    whole = "".join(f"{number}\n" for number in range(1, 100_001))
    async with (
        viewer(gate.server, run_id, "?window=1000") as liar,
        viewer(gate.server, run_id, "?window=1000") as babbler,
        viewer(gate.server, run_id) as bystander,
    ):
        gate.open()
        told: list[str] = []
        codes: list[int] = []

        async def lie() -> None:
            for offset in (-(2**62), 2**62, 0, 7, -1):
                await liar.say(f'{{"type":"ack","offset":{offset}}}')
            while (message := await liar.message())["type"] != "end":
                with suppress(trio.BrokenResourceError):
                    offset = (liar.at * 7) % 3000 if liar.at % 2 else 2**53
                    await liar.say(f'{{"type":"ack","offset":{offset}}}')
                    await liar.say(f'{{"type":"ack","offset":{liar.at}}}')
            assert message["offset"] == liar.at
            told.append("".join(liar.text))

        async def babble() -> None:
            await babbler.say('{"type":"ack","offset":"soon"}')
            codes.append(await babbler.closed())

        async def stand_by() -> None:
            told.append(await bystander.all())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lie)
            nursery.start_soon(babble)
            nursery.start_soon(stand_by)
    assert told == [whole, whole]
    assert codes == [4400]
