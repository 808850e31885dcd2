"""One run's stream over real sockets: whoever joins, is cut, stalls or goes elsewhere, and when."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.config.settings import WebLimits
from supervisor.log import logindex
from supervisor.log.logfile import index_path
from supervisor.log.logindex import Header
from supervisor.model import Stream
from supervisor.units import KIB
from tests.patience import PATIENCE_S
from tests.web.restless import Restless
from tests.web.scene import Write, output, text
from tests.web.served import OpenSite, Site, until
from tests.web.watching import BINARY, Watcher, faucet, stingy, watch
from web.streams import conversation, viewer

OUT, ERR = Stream.STDOUT, Stream.STDERR
ERROR = (socket.SOL_SOCKET, socket.SO_ERROR)
VIEWERS = 50


# --- joining, being cut, coming again --------------------------------------------------------------


async def test_fifty_viewers_that_join_and_are_cut_at_random_have_every_line_once_in_order(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that is slow to read is not to be let go, with words of its own under way.
    monkeypatch.setattr(conversation, "END_WAIT_S", PATIENCE_S)
    dice = random.Random(1)
    writes: list[Write] = [
        (dice.choice((OUT, ERR)), f"line {number}: é € 😀 {'x' * dice.randrange(200)}\n".encode())
        for number in range(100)
    ]
    async with faucet(site, tmp_path) as tap, trio.open_nursery() as nursery:
        for stream, data in writes[:50]:
            await tap.write(stream, data)
        viewers = [Restless(tap.path, seed) for seed in range(VIEWERS)]
        # Some are there from the first byte on, some join while it is written, and some are late.
        for each in viewers[::2]:
            nursery.start_soon(each.view, site)
        waiting = viewers[1::2]
        for stream, data in writes[50:]:
            await tap.write(stream, data)
            if dice.random() < 0.3:
                nursery.start_soon(waiting.pop().view, site)
        await tap.end()
        for each in waiting:
            nursery.start_soon(each.view, site)
    for each in viewers:
        assert each.check(writes)["status"] == "succeeded"


async def test_who_joins_late_is_told_the_same_as_who_was_there_from_the_start(
    site: Site, tmp_path: Path
) -> None:
    async with faucet(site, tmp_path) as tap, watch(site, tap.path) as early:
        for number in range(20):
            await tap.write(OUT if number % 3 else ERR, f"{number} €\n".encode())
            await early.hear_bytes(tap.size)
        async with watch(site, tap.path) as late:
            await late.hear_bytes(tap.size)
            await tap.end()
            await late.hear_until("end")
        await early.hear_until("end")
        async with watch(site, tap.path) as later:
            await later.hear_until("end")
    for stream in Stream:
        assert text(early.said, stream) == text(late.said, stream) == text(later.said, stream)
    for kind in ("status", "end"):
        told = [[m for m in each.said if m["type"] == kind] for each in (early, late, later)]
        assert told[0] == told[1] == told[2]


# --- those who take nothing ------------------------------------------------------------------------


async def test_a_viewer_that_takes_nothing_is_dropped_and_nobody_else_notices(
    open_site: OpenSite, tmp_path: Path
) -> None:
    # What is long enough for the other, which this process has to read for as well.
    limits = WebLimits(send_timeout_s=3)
    async with (
        open_site(limits=limits) as site,
        faucet(site, tmp_path) as tap,
        watch(site, tap.path) as other,
        watch(site, tap.path, dial=stingy) as stalled,
    ):
        await stalled.hear()  # and then nothing more
        # More than the kernel holds for a client that does not read.
        for _ in range(40):
            await tap.write(OUT, b"x" * (256 * KIB))
        await tap.end()
        assert text(await other.hear_until("end"), OUT) == "x" * (40 * 256 * KIB)
        await until(lambda: stalled.stream.socket.getsockopt(*ERROR) == errno.ECONNRESET)
        assert (await stalled.closed())[0] == 1006
        assert not any(message["type"] == "end" for message in stalled.said)
        again = f"{tap.path}?from={stalled.said[-1].get('next', 0)}"
        async with watch(site, again) as resumed:
            await resumed.hear_until("end")
    assert text(output(stalled.said) + output(resumed.said), OUT) == "x" * (40 * 256 * KIB)


# --- acknowledging ---------------------------------------------------------------------------------


async def test_who_gave_a_window_is_sent_no_more_than_that_unacknowledged(
    site: Site, tmp_path: Path
) -> None:
    async with faucet(site, tmp_path) as tap, watch(site, f"{tap.path}?window=10") as watcher:
        await tap.write(OUT, b"0123456789abcdefghijABCDE")
        for end in (10, 20):
            await watcher.hear_bytes(end)
            assert await nothing_more(watcher)
            await watcher.say({"type": "ack", "offset": end - 1})  # not a whole message
            assert await nothing_more(watcher)
            await watcher.say({"type": "ack", "offset": end})
        await watcher.hear_bytes(25)
    assert text(watcher.said, OUT) == "0123456789abcdefghijABCDE"


async def test_what_a_filter_leaves_out_does_not_use_the_window_up(
    site: Site, tmp_path: Path
) -> None:
    path = "?window=10&streams=stderr"
    async with faucet(site, tmp_path) as tap, watch(site, tap.path + path) as watcher:
        await tap.write(OUT, b"x" * 1000)
        await tap.write(ERR, b"01234")
        await tap.write(OUT, b"x" * 1000)
        await tap.write(ERR, b"56789abc")
        while text(watcher.said, ERR) != "0123456789":
            await watcher.hear()
        assert await nothing_more(watcher)
        await watcher.say({"type": "ack", "offset": output(watcher.said)[-1]["next"]})
        while text(watcher.said, ERR) != "0123456789abc":
            await watcher.hear()
    assert output(watcher.said, OUT) == []


async def test_who_acknowledges_nothing_is_let_go_with_4430_and_can_resume(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "STALL_S", 0.05)
    async with faucet(site, tmp_path) as tap:
        await tap.write(OUT, b"0123456789")
        async with watch(site, f"{tap.path}?window=4") as watcher:
            assert await watcher.closed() == (4430, "stalled")
        assert watcher.said[-1]["type"] == "error"
        at = output(watcher.said)[-1]["next"]
        await tap.end()
        async with watch(site, f"{tap.path}?from={at}") as resumed:
            await resumed.hear_until("end")
    assert text(watcher.said, OUT) + text(resumed.said, OUT) == "0123456789"


async def nothing_more(watcher: Watcher) -> bool:
    """Whether the server has said all that it says for now."""
    before = len(watcher.said)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.hear)
            await trio.testing.wait_all_tasks_blocked(0.05)
            scope.cancel()
    return len(watcher.said) == before


# --- going elsewhere -------------------------------------------------------------------------------


async def test_a_seek_is_answered_and_what_follows_goes_on_from_there(
    site: Site, tmp_path: Path
) -> None:
    async with faucet(site, tmp_path) as tap, watch(site, tap.path) as watcher:
        await tap.write(OUT, b"one\ntwo\nthree\n")
        await watcher.hear_bytes(14)
        for wished, start in ((0, 0), (4, 4), (-7, 4), (-6, 8), (14, 14), (-(10**30), 0)):
            del watcher.said[:]
            await watcher.say({"type": "seek", "from": wished})
            assert (await watcher.hear_until("seek"))[-1] == {"type": "seek", "from": start}
            if start < 14:
                await watcher.hear_bytes(14)
            after = watcher.said[watcher.said.index({"type": "seek", "from": start}) + 1 :]
            assert text(after, OUT) == "one\ntwo\nthree\n"[start:]
            assert [m for m in after if m["type"] == "status"] == []
        await tap.end()
        await watcher.hear_until("end")


async def test_a_seek_opens_the_window_again_and_an_ack_counts_for_what_was_sent_by_then(
    site: Site, tmp_path: Path
) -> None:
    async with faucet(site, tmp_path) as tap, watch(site, f"{tap.path}?window=4") as watcher:
        await tap.write(OUT, b"0123456789abcdef")
        await watcher.hear_bytes(4)
        await watcher.say({"type": "seek", "from": 8})
        await watcher.hear_bytes(12)
        assert await nothing_more(watcher)
        await watcher.say({"type": "ack", "offset": 4})  # of what came before the seek
        assert await nothing_more(watcher)
        await watcher.say({"type": "ack", "offset": 12})
        await watcher.hear_bytes(16)
    assert text(watcher.said, OUT) == "012389abcdef"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?from=4", "two\nthree\n"),
        ("?from=14", ""),
        ("?from=-1", "three\n"),
        ("?from=-7", "two\nthree\n"),
        ("?from=-0", "one\ntwo\nthree\n"),
        ("?from=-" + "9" * 18, "one\ntwo\nthree\n"),
        ("?from=5&streams=stdout&streams=stderr", "wo\nthree\n"),
        ("?streams=stderr", ""),
    ],
)
async def test_where_one_begins_stands_in_the_address(site: Site, query: str, told: str) -> None:
    run_id = await site.shell(r"printf 'one\ntwo\nthree\n'")
    await site.ended(run_id)
    async with watch(site, f"/runs/{run_id}/stream{query}") as watcher:
        assert text(await watcher.hear_until("end"), OUT) == told


@pytest.mark.parametrize("offset", [15, 2**63, 10**18])
async def test_beyond_the_end_there_is_nothing(site: Site, offset: int) -> None:
    run_id = await site.shell(r"printf 'one\ntwo\nthree\n'")
    await site.ended(run_id)
    async with watch(site, f"/runs/{run_id}/stream?from={offset}") as watcher:
        assert await watcher.closed() == (4400, "range_not_satisfiable")


async def test_statuses_that_were_seen_are_not_told_again(site: Site) -> None:
    run_id = await site.shell("true")
    await site.ended(run_id)
    for seq, left in ((0, 4), (3, 1), (4, 0), (10**18, 0), (-1, 4)):
        async with watch(site, f"/runs/{run_id}/stream?seq={seq}") as watcher:
            await watcher.hear_until("end")
        assert len([m for m in watcher.said if m["type"] == "status"]) == left


# --- gaps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", [(), (BINARY,)])
async def test_what_is_not_kept_any_more_is_a_gap(
    site: Site, tmp_path: Path, offer: tuple[str, ...]
) -> None:
    run_id = await site.shell("printf 0123456789")
    await site.ended(run_id)
    with index_path(tmp_path / "state" / "logs", run_id).open("r+b") as file:
        file.write(logindex.pack_header(Header(6, 0)))
    for start in (0, 3):
        async with watch(site, f"/runs/{run_id}/stream?from={start}", offer=offer) as watcher:
            said = await watcher.hear_until("end")
        gap, rest = [m for m in said if m["type"] not in {"status", "end"}]
        assert gap == {"type": "gap", "from": start, "to": 6, "reason": "trimmed"}
        assert (rest["data"], rest["offset"], rest["next"]) == (
            b"6789" if offer else "6789",
            6,
            10,
        )
