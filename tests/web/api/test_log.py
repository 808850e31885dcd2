"""A run's log over HTTP: exact bytes from any offset, once or as they come."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import h11
import httpx
import pytest
import trio
from msgspec import Struct

from supervisor.config.settings import WebLimits
from tests.gate import Gates
from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, OpenSite, Site, until

MERGED = b"one\nTWO\nthree\n"


async def write_merged(site: Site, gate: Gates, then: str = "exit 0") -> str:
    """A run that has written MERGED, TWO to stderr, and goes on with `then`; its id.

    Two pipes have no order between them, so each write waits until the one before was kept.
    """
    first, second = gate("first"), gate("second")
    run_id = await site.shell(
        f"echo one; {first.wait}; echo TWO >&2; {second.wait}; echo three; {then}"
    )
    await site.running(run_id, written=4)
    await first.open()
    await site.running(run_id, written=8)
    await second.open()
    return run_id


async def merged_run(site: Site, gate: Gates) -> str:
    """A run that wrote MERGED and ended; its id."""
    run_id = await write_merged(site, gate)
    await site.ended(run_id)
    return run_id


class Answer(Struct):
    """The head of an answer."""

    status: int
    headers: dict[str, str]


@asynccontextmanager
async def streamed(
    site: Site, path: str, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
    """An answer read bit by bit. What httpx has for this complains when it is left early."""
    client = h11.Connection(h11.CLIENT)
    async with await trio.open_tcp_stream(*site.address) as stream:
        fields = {"Host": "localhost", "Authorization": f"Bearer {TOKEN}", **(headers or {})}
        request = h11.Request(method="GET", target=path, headers=list(fields.items()))
        await stream.send_all(client.send(request) + client.send(h11.EndOfMessage()))

        async def event() -> h11.Event:
            while True:
                got = client.next_event()
                if got is not h11.NEED_DATA:
                    assert isinstance(got, h11.Event)
                    return got
                client.receive_data(await stream.receive_some())

        async def body() -> AsyncGenerator[bytes, None]:
            while isinstance(got := await event(), h11.Data):
                yield bytes(got.data)
            assert isinstance(got, h11.EndOfMessage)

        head = await event()
        assert isinstance(head, h11.Response)
        shown = {name.decode(): value.decode() for name, value in head.headers}
        async with aclosing(body()) as pieces:
            yield Answer(head.status_code, shown), pieces


async def read_at_least(pieces: AsyncIterator[bytes], count: int) -> bytes:
    got = b""
    with trio.fail_after(PATIENCE_S):
        while len(got) < count:
            got += await anext(pieces)
    return got


async def rest(pieces: AsyncIterator[bytes]) -> bytes:
    with trio.fail_after(PATIENCE_S):
        return b"".join([piece async for piece in pieces])


def open_readers(site: Site) -> int:
    """How many logs and indexes of a site are open for reading alone, as viewers have them."""
    found = 0
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            target = str(fd.readlink())
            info = Path("/proc/self/fdinfo", fd.name).read_text()
            flags = int(info.partition("flags:")[2].split()[0], 8)
            ours = target.startswith(f"{site.socket.parent}/")
            log = target.endswith((".log", ".idx"))
            found += ours and log and flags & os.O_ACCMODE == os.O_RDONLY
    return found


# --- once ----------------------------------------------------------------------------------------


async def test_the_log_is_the_bytes_of_both_streams_in_the_order_they_came(
    site: Site, gate: Gates
) -> None:
    run_id = await merged_run(site, gate)
    answer = await site.http.get(f"/runs/{run_id}/log")
    assert (answer.status_code, answer.content) == (200, MERGED)
    assert answer.headers["content-length"] == str(len(MERGED))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["runwire-log-offset"] == "0"
    assert answer.headers["runwire-log-oldest"] == "0"
    assert answer.headers["runwire-log-size"] == str(len(MERGED))


async def test_one_stream_alone_is_what_the_program_wrote_to_it(site: Site, gate: Gates) -> None:
    run_id = await merged_run(site, gate)
    for stream, bytes_ in (("stdout", b"one\nthree\n"), ("stderr", b"TWO\n")):
        answer = await site.http.get(f"/runs/{run_id}/log?stream={stream}")
        assert (answer.status_code, answer.content) == (200, bytes_)
        assert "accept-ranges" not in answer.headers


async def test_from_is_an_offset_in_the_merged_log_whatever_is_shown(
    site: Site, gate: Gates
) -> None:
    run_id = await merged_run(site, gate)
    for start in range(len(MERGED) + 1):
        answer = await site.http.get(f"/runs/{run_id}/log?from={start}")
        assert (answer.status_code, answer.content) == (200, MERGED[start:])
        assert answer.headers["runwire-log-offset"] == str(start)
        out = await site.http.get(f"/runs/{run_id}/log?from={start}&stream=stdout")
        in_range = [(0, 4), (8, len(MERGED))]
        expected = b"".join(MERGED[max(a, start) : b] for a, b in in_range if b > start)
        assert out.content == expected


async def test_a_negative_from_counts_from_the_end_and_begins_a_line(
    site: Site, gate: Gates
) -> None:
    run_id = await merged_run(site, gate)
    for start, expected in ((-1, b"three\n"), (-7, b"TWO\nthree\n"), (-1000, MERGED)):
        answer = await site.http.get(f"/runs/{run_id}/log?from={start}")
        assert answer.content == expected
        assert answer.headers["runwire-log-offset"] == str(len(MERGED) - len(expected))


async def test_a_range_is_206_and_exact(site: Site, gate: Gates) -> None:
    run_id = await merged_run(site, gate)

    async def ask(value: str, query: str = "") -> httpx.Response:
        return await site.http.get(f"/runs/{run_id}/log{query}", headers={"Range": value})

    part = await ask("bytes=4-7")
    assert (part.status_code, part.content) == (206, b"TWO\n")
    assert part.headers["content-range"] == f"bytes 4-7/{len(MERGED)}"
    assert part.headers["content-length"] == "4"
    assert (await ask("bytes=-6")).content == b"three\n"
    outside = await ask("bytes=14-")
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{len(MERGED)}"
    assert outside.json()["code"] == "range_not_satisfiable"
    malformed = await ask("bytes=7-4")
    assert (malformed.status_code, malformed.json()["field"]) == (422, "Range")
    both = await ask("bytes=4-7", "?from=2")
    assert (both.status_code, both.json()["field"]) == (422, "from")


async def test_a_range_counts_only_for_the_plain_form(site: Site, gate: Gates) -> None:
    run_id = await merged_run(site, gate)
    for query, expected in (("?stream=stdout", b"one\nthree\n"), ("?follow=1", MERGED)):
        answer = await site.http.get(f"/runs/{run_id}/log{query}", headers={"Range": "bytes=4-7"})
        assert (answer.status_code, answer.content) == (200, expected)


async def test_an_ended_log_has_an_etag_that_saves_sending_it_again(
    site: Site, gate: Gates
) -> None:
    run_id = await merged_run(site, gate)
    path = f"/runs/{run_id}/log"
    first = await site.http.get(path)
    tag = first.headers["etag"]
    again = await site.http.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await site.http.get(path, headers={"If-None-Match": '"x"'})).content == MERGED
    assert (await site.http.get(path + "?stream=stdout")).headers["etag"] != tag
    for condition, status in ((tag, 206), ('"x"', 200), ("Mon, 01 Jan 2024 00:00:00 GMT", 200)):
        headers = {"Range": "bytes=0-1", "If-Range": condition}
        assert (await site.http.get(path, headers=headers)).status_code == status


async def test_download_names_a_file(site: Site, gate: Gates) -> None:
    run_id = await merged_run(site, gate)
    answer = await site.http.get(f"/runs/{run_id}/log?download=1")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}.log"'


async def test_head_tells_the_size_and_sends_nothing(site: Site, gate: Gates) -> None:
    door = gate("g")
    run_id = await site.shell(f"echo hi; {door.wait}")
    await site.running(run_id, written=3)
    with trio.fail_after(PATIENCE_S):
        answer = await site.http.head(f"/runs/{run_id}/log?follow=1")
        plain = await site.http.head(f"/runs/{run_id}/log")
    assert (answer.status_code, answer.content) == (200, b"")
    assert plain.headers["content-length"] == "3"
    await door.open()


async def test_a_run_that_wrote_nothing_has_an_empty_log(open_site: OpenSite) -> None:
    async with open_site(max_running=1) as site:
        holder = await site.shell("sleep 60")
        waiting = await site.shell("true")
        await site.running(holder)
        for run_id in (waiting, holder):
            answer = await site.http.get(f"/runs/{run_id}/log")
            assert (answer.status_code, answer.content) == (200, b"")
            assert "etag" not in answer.headers
        beyond = await site.http.get(f"/runs/{holder}/log?from=1")
        assert beyond.status_code == 416


async def test_twenty_megabytes_and_five_come_back_exact_per_stream(
    site: Site, tmp_path: Path
) -> None:
    run_id = await site.shell(
        "head -c 20000000 /dev/urandom | tee out & head -c 5000000 /dev/urandom | tee err >&2; wait",
        cwd=str(tmp_path),
    )
    followed = b""
    async with streamed(site, f"/runs/{run_id}/log?follow=1") as (_, pieces):
        followed = await rest(pieces)
    run = await site.ended(run_id)
    assert (run["status"], run["log"]["size"]) == ("succeeded", 25_000_000)
    whole = (await site.http.get(f"/runs/{run_id}/log")).content
    assert followed == whole
    for stream, name in (("stdout", "out"), ("stderr", "err")):
        answer = await site.http.get(f"/runs/{run_id}/log?stream={stream}")
        assert answer.content == (tmp_path / name).read_bytes()


# --- as it comes ---------------------------------------------------------------------------------


async def test_follow_gives_what_is_there_then_what_comes_then_ends(
    site: Site, gate: Gates
) -> None:
    door = gate("g")
    run_id = await site.shell(f"echo early; {door.wait}; echo late")
    await site.running(run_id, written=6)
    async with streamed(site, f"/runs/{run_id}/log?follow=1") as (answer, pieces):
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["x-accel-buffering"] == "no"
        assert await read_at_least(pieces, 6) == b"early\n"
        await door.open()
        assert await rest(pieces) == b"late\n"


async def test_following_a_run_that_waits_gives_all_of_it(open_site: OpenSite) -> None:
    async with open_site(max_running=1) as site:
        holder = await site.shell("sleep 60")
        waiting = await site.shell("echo mine")
        async with streamed(site, f"/runs/{waiting}/log?follow=1") as (_, pieces):
            await site.http.post(f"/runs/{holder}/cancel", json={"force": True})
            assert await rest(pieces) == b"mine\n"


async def test_following_a_waiting_run_that_is_cancelled_ends(open_site: OpenSite) -> None:
    async with open_site(max_running=1) as site:
        await site.running(await site.shell("sleep 60"))
        waiting = await site.shell("echo never")
        async with streamed(site, f"/runs/{waiting}/log?follow=1") as (_, pieces):
            await site.http.post(f"/runs/{waiting}/cancel")
            assert await rest(pieces) == b""


async def test_follow_one_stream_from_an_offset(site: Site, gate: Gates) -> None:
    door = gate("g")
    run_id = await write_merged(site, gate, f"{door.wait}; echo err >&2; echo four")
    await site.running(run_id, written=len(MERGED))
    path = f"/runs/{run_id}/log?follow=1&stream=stdout&from=2"
    async with streamed(site, path) as (_, pieces):
        assert await read_at_least(pieces, 8) == b"e\nthree\n"
        await door.open()
        assert await rest(pieces) == b"four\n"


async def test_a_viewer_who_comes_back_at_their_offset_misses_nothing(
    site: Site, gate: Gates
) -> None:
    doors = [gate(f"g{number}") for number in range(4)]
    line = "; ".join(f"echo {number}{number}; {door.wait}" for number, door in enumerate(doors))
    run_id = await site.shell(line)
    got = b""
    for door in doors:
        async with streamed(site, f"/runs/{run_id}/log?follow=1&from={len(got)}") as (_, pieces):
            got += await read_at_least(pieces, 3)
        await door.open()
    async with streamed(site, f"/runs/{run_id}/log?follow=1&from={len(got)}") as (_, pieces):
        got += await rest(pieces)
    assert got == b"00\n11\n22\n33\n"


async def test_a_viewer_who_goes_leaves_nothing_open(site: Site, gate: Gates) -> None:
    door = gate("g")
    run_id = await site.shell(f"echo hi; {door.wait}")
    await site.running(run_id, written=3)
    assert open_readers(site) == 0
    for _ in range(5):
        async with streamed(site, f"/runs/{run_id}/log?follow=1") as (_, pieces):
            await read_at_least(pieces, 3)
            assert open_readers(site) > 0
    await until(lambda: open_readers(site) == 0)
    await door.open()
    await site.ended(run_id)


async def test_a_viewer_who_never_reads_holds_up_neither_the_run_nor_another_viewer(
    open_site: OpenSite, gate: Gates
) -> None:
    # What is long enough for the other viewer, which this process has to read for as well.
    async with open_site(limits=WebLimits(send_timeout_s=3)) as site:
        door = gate("g")
        run_id = await site.shell(f"{door.wait}; head -c 30000000 /dev/zero")
        stalled = trio.socket.socket()
        await stalled.connect(site.address)
        await stalled.send(
            f"GET /runs/{run_id}/log?follow=1 HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        async with streamed(site, f"/runs/{run_id}/log?follow=1") as (_, pieces):
            await door.open()
            assert len(await rest(pieces)) == 30_000_000
        assert (await site.ended(run_id))["status"] == "succeeded"
        await until(lambda: open_readers(site) == 0)
        stalled.close()


@pytest.mark.parametrize("start", [0, 65_000, 100_000])
async def test_bytes_that_were_not_kept_are_left_out_and_the_answer_is_whole(
    open_site: OpenSite, tmp_path: Path, start: int
) -> None:
    """How many there are is not known beforehand, so no length is told; the log's size is."""
    file = tmp_path / "jobs.toml"
    file.write_text(
        "[jobs.much]\nshell = 'seq 100000 120000'\nmax_log = '64K'\non_full = 'stop-capture'\n"
    )
    async with open_site(jobs=file) as site:
        run_id = (await site.http.post("/runs", json={"job": "much"})).json()["id"]
        await site.ended(run_id)
        answer = await site.http.get(f"/runs/{run_id}/log?from={start}")
        assert answer.status_code == 200
        assert "Content-Length" not in answer.headers
        written = "".join(f"{n}\n" for n in range(100_000, 120_001)).encode()
        assert answer.content == written[start:65_536]
        assert answer.headers["Runwire-Log-Size"] == str(len(written))
