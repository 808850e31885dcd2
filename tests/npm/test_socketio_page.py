"""docs/socket-io.md: what it shows works with the stock client, and what it says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from supervisor.config.settings import read_settings
from tests.npm.node import HERE
from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, running_site
from tools.base import ROOT
from web.socketio.engineio import LAST_WORDS_S, PING_INTERVAL_S, PING_TIMEOUT_S
from web.socketio.packets import MAX_PACKETS, MAX_PAYLOAD_BYTES
from web.streams.conversation import HELLO_WAIT_S

pytestmark = pytest.mark.npm

PAGE = (ROOT / "docs" / "socket-io.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = [text for kind, text in BLOCKS if kind == "js" and "import" in text]
WORDS = [text for kind, text in BLOCKS if kind == "js" and "import" not in text]


async def run_program(text: str, tmp_path: Path, after: str = "", then: str = "") -> str:
    """What a program of the page prints about a run that prints `hello` and then does `then`."""
    async with running_site(tmp_path) as site:
        run_id = await site.shell(f"echo hello; {then}")
        names = f'const TOKEN = "{TOKEN}", NEW_TOKEN = TOKEN, RUN_ID = "{run_id}";\n'
        program = names + text.replace("127.0.0.1:4000", f"127.0.0.1:{site.address[1]}") + after
        with trio.fail_after(PATIENCE_S):
            done = await trio.run_process(
                ["node", "--input-type=module", "--eval", program],
                cwd=HERE,
                capture_stdout=True,
                capture_stderr=True,
            )
    assert done.stderr == b""
    return str(done.stdout.decode())


def test_the_page_has_what_is_tested_here() -> None:
    assert (len(PROGRAMS), len(WORDS)) == (2, 1)


async def test_the_first_program_shows_a_run(tmp_path: Path) -> None:
    assert await run_program(PROGRAMS[0], tmp_path) == "hello\nthe run has succeeded\n"


async def test_the_second_knows_where_it_is(tmp_path: Path) -> None:
    assert await run_program(PROGRAMS[1], tmp_path) == "seen up to 6\n"


async def test_a_new_token_is_taken(tmp_path: Path) -> None:
    gate = tmp_path / "taken"
    taken = f"console.log('taken'); writeFileSync('{gate}', '')"
    renewal = WORDS[0].replace("});", f"}}, () => {{{taken}}});")
    printed = await run_program(
        PROGRAMS[0],
        tmp_path,
        f"import {{ writeFileSync }} from 'node:fs'; socket.on('connect', () => {{{renewal}}});",
        f"until [ -e {gate} ]; do sleep 0.02; done",
    )
    assert sorted(printed.splitlines()) == ["hello", "taken", "the run has succeeded"]


def test_the_configuration_is_right() -> None:
    (text,) = (text for kind, text in BLOCKS if kind == "toml")
    assert read_settings(text, None, environ={"HOME": "/"}).web.cors_origins


def test_the_figures_are_right() -> None:
    assert f"every {PING_INTERVAL_S:g} seconds" in PAGE
    assert f"takes anything for {PING_TIMEOUT_S:g} seconds" in PAGE
    assert f"may have {MAX_PAYLOAD_BYTES // 1024} KiB and {MAX_PACKETS} packets" in PAGE
    assert f"fetch it within {LAST_WORDS_S:g} seconds" in PAGE
    assert f"who it is within {HELLO_WAIT_S:g} seconds" in PAGE
