"""`wscat -c "ws://localhost:PORT/runs?runId=ID&token=TOKEN"` shows a run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.npm.node import HERE, Happening, Program, output, running
from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, Site, running_site
from tools.base import ROOT

pytestmark = pytest.mark.npm

WSCAT = str(HERE / "node_modules" / ".bin" / "wscat")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as opened:
        yield opened


def address(site: Site, run_id: str, more: str = f"&token={TOKEN}") -> str:
    return f"ws://localhost:{site.address[1]}/runs?runId={run_id}{more}"


def test_the_page_shows_the_command_that_is_tested_here() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert 'wscat -c "ws://localhost:4000/runs?runId=ID&token=TOKEN"\n' in page


async def until(program: Program, kind: str) -> list[Happening]:
    """All messages through the next of a type."""
    messages: list[Happening] = []
    with trio.fail_after(PATIENCE_S):
        while not messages or messages[-1]["type"] != kind:
            line = (await program.line()).lstrip("> ")  # its prompt, after something was typed
            messages.append(json.loads(line))
    return messages


async def test_it_shows_everything_and_leaves_when_the_run_has_ended(
    site: Site, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run_id = await site.shell(
        f"echo begin; until [ -e {gate} ]; do sleep 0.02; done; seq 100000; echo oops >&2"
    )
    async with running(WSCAT, "-c", address(site, run_id)) as wscat:
        messages = await until(wscat, "stdout")
        gate.touch()
        messages += await until(wscat, "end")
        assert output(messages, "stdout") == "begin\n" + "".join(
            f"{n}\n" for n in range(1, 100_001)
        )
        assert output(messages, "stderr") == "oops\n"
        with trio.fail_after(PATIENCE_S):
            assert await wscat.process.wait() == 0


async def test_what_is_typed_is_said_to_the_server(site: Site) -> None:
    run_id = await site.shell("seq 100; sleep 60")
    await site.running(run_id, written=292)
    async with running(WSCAT, "-c", address(site, run_id)) as wscat:
        await until(wscat, "stdout")
        await wscat.say('{"type": "seek", "from": 288}')
        assert (await until(wscat, "seek"))[-1]["from"] == 288
        assert (await until(wscat, "stdout"))[-1]["data"] == "100\n"


async def test_the_token_may_come_in_the_first_message(site: Site) -> None:
    run_id = await site.shell("seq 100")
    await site.ended(run_id)
    hello = json.dumps({"type": "hello", "token": TOKEN})
    command = (WSCAT, "-w", "-1", "-x", hello, "-c", address(site, run_id, more=""))
    async with running(*command) as wscat:
        assert len(output(await until(wscat, "end"))) == 292


async def test_a_wrong_token_is_refused(site: Site) -> None:
    run_id = await site.shell("echo x")
    wrong = address(site, run_id, "&token=wrong")
    async with running("sh", "-c", 'exec "$@" 2>&1', "sh", WSCAT, "-c", wrong) as wscat:
        with trio.fail_after(PATIENCE_S):
            assert "401" in await wscat.line()
