"""What a client of a stream types: in order, answered, bounded, and only by those who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from trio_websocket import ConnectionClosed

from supervisor.access.claims import full_claims
from supervisor.model import SYSTEM
from supervisor.units import KIB
from supervisor.wire import TokenRequest
from tests.web.scene import Said, output
from tests.web.served import Site
from tests.web.watching import Watcher, watch
from web.streams import keyboard

PIPE_BYTES = 1024 * KIB
"""No pipe of a run holds more."""
LARGE = 40 * KIB
SEQ_BYTES = 3893
"""What `seq 1 1000` writes."""


@asynccontextmanager
async def typing(
    site: Site, line: str, *, scope: str = "runs:read runs:input", stdin: str = "open"
) -> AsyncIterator[tuple[Watcher, str]]:
    """A run of `line`, and somebody who watches it with that scope."""
    run_id = await site.shell(line, stdin=stdin)
    await site.running(run_id)
    token = await site.tokens.issue(TokenRequest(scope=scope), full_claims(SYSTEM))
    async with watch(site, f"/runs/{run_id}/stream", token=token.token) as watcher:
        yield watcher, run_id


def answers(watcher: Watcher) -> list[Said]:
    return [message for message in watcher.said if message["type"] == "input"]


async def answered(watcher: Watcher, count: int) -> list[Said]:
    while len(answers(watcher)) < count:
        await watcher.hear()
    return answers(watcher)


async def test_what_is_typed_is_read_and_answered_in_order(site: Site) -> None:
    async with typing(site, "cat") as (watcher, _):
        for text in ("one\n", "zwölf\n", ""):
            await watcher.say({"type": "input", "data": text})
        await watcher.say({"type": "input", "eof": True})
        said = await watcher.hear_until("end")
        assert answers(watcher) == [
            {"type": "input", "taken": taken} for taken in (4, len("zwölf\n".encode()), 0, 0)
        ]
        assert "".join(message["data"] for message in output(said)) == "one\nzwölf\n"


async def test_without_the_scope_it_is_refused_and_the_stream_goes_on(site: Site) -> None:
    async with typing(site, "cat; echo end", scope="runs:read") as (watcher, run_id):
        await watcher.say({"type": "input", "data": "x"})
        [refused] = await answered(watcher, 1)
        assert (refused["taken"], refused["code"]) == (0, "forbidden")
        await site.http.post(f"/runs/{run_id}/input", params={"eof": "1"})
        said = await watcher.hear_until("end")
        assert "".join(message["data"] for message in output(said)) == "end\n"


async def test_a_new_token_may_type_on_the_same_connection(site: Site) -> None:
    async with typing(site, "cat", scope="runs:read") as (watcher, _):
        wish = TokenRequest(scope="runs:read runs:input")
        token = await site.tokens.issue(wish, full_claims(SYSTEM))
        await watcher.say({"type": "auth", "token": token.token})
        await watcher.say({"type": "input", "data": "x"})
        assert await answered(watcher, 1) == [{"type": "input", "taken": 1}]


async def test_a_run_that_reads_no_more_is_an_answer(site: Site) -> None:
    async with typing(site, "exec <&-; echo closed; sleep 60") as (watcher, _):
        await watcher.hear_bytes(7)
        await watcher.say({"type": "input", "data": "anybody?"})
        [refused] = await answered(watcher, 1)
        assert (refused["taken"], refused["code"]) == (0, "input_closed")


async def test_a_run_that_has_ended_is_an_answer(site: Site) -> None:
    async with typing(site, "read line; echo $line") as (watcher, _):
        await watcher.say({"type": "input", "data": "bye\n"})
        await watcher.hear_until("end")
        await watcher.say({"type": "input", "data": "x"})
        assert (await answered(watcher, 2))[-1]["code"] == "run_ended"


async def test_who_types_to_a_run_that_does_not_read_is_shown_its_output_on(
    site: Site, tmp_path: Path
) -> None:
    """What waits for the run does not hold up the acknowledgements that come behind it."""
    read = tmp_path / "read"
    line = f"read go; seq 1 1000; while ! test -e {read}; do sleep 0.02; done; cat > /dev/null"
    run_id = await site.shell(line, stdin="open")
    await site.running(run_id)
    async with watch(site, f"/runs/{run_id}/stream?window=1000") as watcher:
        # The first fits into a pipe, the second does not fit behind it.
        await watcher.say({"type": "input", "data": "go\n" + "x" * LARGE})
        await answered(watcher, 1)
        await watcher.say({"type": "input", "data": "y" * LARGE})
        place = max((message["next"] for message in output(watcher.said)), default=0)
        await watcher.say({"type": "ack", "offset": place})
        while place < SEQ_BYTES:
            for message in await watcher.hear():
                if message["type"] == "stdout":
                    place = message["next"]
                    await watcher.say({"type": "ack", "offset": place})
        assert len(answers(watcher)) == 1
        read.touch()
        await answered(watcher, 2)
        await watcher.say({"type": "input", "eof": True})
        await watcher.hear_until("end")
        assert [answer["taken"] for answer in answers(watcher)] == [LARGE + 3, LARGE, 0]


async def test_more_than_may_wait_ends_the_stream(site: Site) -> None:
    """Nothing reads, and nobody waits for answers: memory is not the place for it."""
    async with typing(site, "sleep 60") as (watcher, run_id):
        with suppress(ConnectionClosed):  # which may come before the last
            for _ in range(PIPE_BYTES // keyboard.HELD_BYTES + 3):
                await watcher.say({"type": "input", "data": "x" * LARGE})
        code, _reason = await watcher.closed()
        assert code == 4400
        assert (await site.run(run_id))["status"] == "running"


@pytest.mark.parametrize("message", ['{"type":"input","data":1}', '{"type":"input","text":"x"}'])
async def test_an_input_that_is_none_ends_the_stream(site: Site, message: str) -> None:
    async with typing(site, "cat") as (watcher, _):
        await watcher.say(message)
        assert (await watcher.closed())[0] == 4400
