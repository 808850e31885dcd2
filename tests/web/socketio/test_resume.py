"""A Socket.IO client that comes again goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.model import Stream
from tests.web.polled import (
    Polling,
    Said,
    opened,
    told,
)
from tests.web.served import TOKEN, Site
from tests.web.watching import faucet

WRITES = (
    (Stream.STDOUT, b"a\xc3"),
    (Stream.STDERR, b"x\xff"),
    (Stream.STDOUT, b"\xbcb\xf0\x9f"),
    (Stream.STDERR, b"y\n"),
    (Stream.STDOUT, b"\x98\x80c\n"),
)


async def test_who_comes_again_goes_on_where_it_was(site: Site) -> None:
    run_id = await site.shell("seq 3")
    await site.ended(run_id)
    client = await opened(site, run_id)
    pid = (await client.connect(token=TOKEN))["pid"]
    whole = await client.told_until("end")
    for number, message in enumerate(whole[:-1]):
        again = await opened(site, run_id)
        assert (await again.connect(token=TOKEN, pid=pid, offset=message["place"]))["pid"] == pid
        assert await again.told_until("end") == whole[number + 1 :]


async def test_going_on_is_exact_within_characters_and_between_streams(
    site: Site, tmp_path: Path
) -> None:
    """Wherever it was cut, a client gets the same text as if it had not been."""
    async with faucet(site, tmp_path) as tap:
        for where, data in WRITES:
            await tap.write(where, data)
        await tap.end()
    run_id = tap.run_id
    for stream in (None, "stdout", "stderr"):
        wish = {} if stream is None else {"streams": stream}
        whole, pid = await everything(site, run_id, **wish)
        for number, message in enumerate(whole[:-1], 1):
            rest, _ = await everything(site, run_id, pid=pid, offset=message["place"], **wish)
            assert text_of(whole[:number] + rest) == text_of(whole)


async def everything(site: Site, run_id: str, **auth: object) -> tuple[list[Said], str]:
    """All messages that a client is told, and the `pid` of its connection."""
    client = await opened(site, run_id)
    pid = (await client.connect(token=TOKEN, **auth))["pid"]
    return await client.told_until("end"), pid


def text_of(messages: list[Said]) -> dict[str, str]:
    return {
        stream: "".join(message["data"] for message in messages if message["type"] == stream)
        for stream in ("stdout", "stderr")
    }


@pytest.mark.parametrize("place", ["7.0", "9999999999999999999.9999999999999999999"])
async def test_a_place_beyond_the_log_is_refused(site: Site, place: str) -> None:
    run_id = await site.shell("seq 3")
    await site.ended(run_id)
    client = await opened(site, run_id)
    pid = (await client.connect(token=TOKEN))["pid"]
    again = await opened(site, run_id)
    assert not (await again.connect(token=TOKEN, pid=pid, offset=place))["refused"]
    packets = await again.rest()
    assert told(packets)[-1]["code"] == "range_not_satisfiable"
    assert packets[-2:] == ["41", "1"]


async def test_a_place_in_another_run_means_nothing(site: Site) -> None:
    one, two = await site.shell("seq 3"), await site.shell("seq 3")
    await site.ended(two)
    pid = (await Polling.connect(await opened(site, one), token=TOKEN))["pid"]
    client = await opened(site, two)
    answer = await client.connect(token=TOKEN, pid=pid, offset="6.9")
    assert answer["pid"] != pid
    assert told(await client.poll())[0]["seq"] == 1


async def test_who_wishes_the_end_only_goes_on_after_it(site: Site) -> None:
    run_id = await site.shell("seq 100; sleep 60")
    await site.running(run_id, written=292)
    client = await opened(site, run_id)
    await client.connect(**{"token": TOKEN, "from": -3})
    messages = await client.told_until("stdout")
    assert [message["place"] for message in messages] == ["-3.1", "-3.2", "-3.3", "292.3"]
    assert messages[-1]["data"] == "100\n"
