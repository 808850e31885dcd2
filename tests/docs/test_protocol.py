"""docs/protocol.md: its messages are those that are sent, its tables are whole, its program works."""

from __future__ import annotations

import json
import os
import re
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor import frames, messages
from supervisor.log import logindex
from supervisor.log.logfile import GapReason, index_path
from supervisor.log.logindex import Header
from supervisor.model import Stream
from supervisor.units import KIB
from tests.patience import PATIENCE_S
from tests.ui.cutting import cutting_proxy
from tests.web.scene import Said
from tests.web.served import TOKEN, Site, running_site
from tests.web.watching import watch
from tools.base import ROOT
from web import shutdown
from web.fence import fence
from web.streams import conversation, viewer
from web.streams.feed import FeedQuery
from web.streams.line import SUBPROTOCOLS
from web.streams.stream import StreamQuery

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES: list[Said] = [
    json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
]
CLIENT: Mapping[str, type[msgspec.Struct]] = {
    "hello": messages.Hello,
    "ack": messages.Ack,
    "seek": messages.Seek,
    "auth": messages.Auth,
    "input": messages.Input,
    "resize": messages.Resize,
    "pong": messages.Pong,
}


def section(title: str) -> str:
    """The text below a heading, up to the next."""
    (text,) = re.findall(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def first_cells(text: str) -> list[str]:
    """What stands in the first column of its tables, headings apart."""
    cells = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    return [cell.strip("`") for cell in cells if "`" in cell or cell.isdigit()]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as opened:
        yield opened


async def everything_said(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Said]:
    """Messages of every type, as a server sends them."""
    said: list[Said] = []
    run_id = await site.shell("printf 'out\\n'; printf 'err\\n' >&2; exit 3")
    await site.ended(run_id)
    with index_path(tmp_path / "state" / "logs", run_id).open("r+b") as file:
        file.write(logindex.pack_header(Header(1, 0)))
    async with watch(site, f"/runs/{run_id}/stream") as watcher:
        said += await watcher.hear_until("end")
    monkeypatch.setattr(conversation, "HEARTBEAT_S", 0.02)
    live = await site.shell("sleep 60", stdin="open")
    await site.running(live)
    async with watch(site, f"/runs/{live}/stream") as watcher:
        await watcher.say({"type": "seek", "from": 0})
        await watcher.say({"type": "input", "data": "hello"})
        await watcher.hear_until("input")
        await watcher.say({"type": "resize", "columns": 90, "rows": 30})
        await watcher.hear_until("resize")
        await watcher.hear_until("ping")
        await watcher.say("nonsense")
        await watcher.closed()
        said += watcher.said
    async with watch(site, "/events?since=0") as watcher:
        said += await watcher.hear_until("event")
    return said


async def test_its_messages_have_the_fields_that_are_sent(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await everything_said(site, tmp_path, monkeypatch)
    assert {m["type"] for m in EXAMPLES} | {"stderr"} == {m["type"] for m in said}
    for example in EXAMPLES:
        real = next(m for m in said if m["type"] == example["type"])
        assert {k: type(v) for k, v in example.items()} == {k: type(v) for k, v in real.items()}
    failed = next(m for m in said if m["type"] == "status" and m["data"] == "failed")
    assert set(failed) - set(next(m for m in EXAMPLES if m["type"] == "status")) == {
        "exit_code",
        "reason",
    }


def test_what_it_says_of_every_field_of_a_status() -> None:
    text = section("From the server")
    for field in msgspec.structs.fields(messages.StatusMessage):
        assert f"`{field.encode_name}`" in text or f'"{field.encode_name}"' in text
    assert [reason for reason in GapReason if f"`{reason}`" not in text] == []


def test_its_table_of_the_clients_messages_is_whole() -> None:
    told = {}
    for kind, fields in re.findall(r'^\| `\{"type": "?(\w+)"?(.*?)\}`', PAGE, re.MULTILINE):
        told[kind] = {name: mark == "?" for name, mark in re.findall(r'"(\w+)"(\??)', fields)}
    assert told == {
        kind: {field.encode_name: not field.required for field in msgspec.structs.fields(struct_)}
        for kind, struct_ in CLIENT.items()
    }


def test_its_tables_of_parameters_are_whole() -> None:
    told = first_cells(section("Connecting"))
    parameters = {field.encode_name for field in msgspec.structs.fields(StreamQuery)}
    assert set(told) - {"/runs/{id}/stream", "/runs?runId={id}", "/events"} - {
        name for name in told if name[0].isdigit()
    } == parameters - {"runId"}
    assert set(first_cells(section("All runs"))) == {
        field.encode_name for field in msgspec.structs.fields(FeedQuery)
    }


def test_its_table_of_close_codes_is_whole() -> None:
    codes = {int(cell) for cell in first_cells(section("Close codes"))}
    ours = {code for _, code in conversation.CLOSE_CODES}
    ours |= {conversation.NORMAL, conversation.BUG, conversation.WRONG_SUBPROTOCOL}
    assert codes == ours | {1002, 1007, 1009, shutdown.SERVICE_RESTART}


def test_its_binary_form_is_that_of_the_frames() -> None:
    fields = re.findall(r"^\| (\w+) \| (\d) \|", section("Binary form"), re.MULTILINE)
    layout = {1: "B", 4: "I", 8: "Q"}
    form = struct.Struct(">" + "".join(layout[int(size)] for _, size in fields))
    assert [name for name, _ in fields] == ["kind", "offset", "time", "length"]
    header = form.pack(Stream.STDERR, 7, 1_700_000_000_000_000, 2)
    assert frames.encode_output(Stream.STDERR, 7, b"hi", 1_700_000_000_000_000) == header + b"hi"
    assert f"a header of {form.size} bytes" in PAGE
    assert [name for name in SUBPROTOCOLS if f"`{name}`" not in PAGE] == []


def test_its_numbers_are_those_of_the_server() -> None:
    assert f"within {conversation.HELLO_WAIT_S:g} seconds" in PAGE
    assert f"waits up to {conversation.END_WAIT_S:g} seconds" in PAGE
    assert f"nothing was sent for {conversation.HEARTBEAT_S:g} seconds" in PAGE
    assert f"acknowledges nothing for {viewer.STALL_S:g} seconds" in PAGE
    assert (conversation.CATCH_UP_S, "within half a second" in PAGE) == (0.5, True)
    assert (conversation.LAST_WORD_S, "for which it has a second" in PAGE) == (1.0, True)
    assert f"at most {fence._MESSAGE_BYTES // KIB} Ki characters" in PAGE


async def test_its_program_follows_a_run_through_cuts(site: Site) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    run_id = await site.shell("seq 10000; printf 'caf\\303'")
    await site.ended(run_id)
    with cutting_proxy(site.address[1]) as proxy, trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-c", program, run_id],
            env=os.environ
            | {"RUNWIRE_URL": f"http://127.0.0.1:{proxy.port}/", "RUNWIRE_TOKEN": TOKEN},
            capture_stdout=True,
        )
        assert proxy.cuts > 0
    lines = done.stdout.decode().splitlines()
    assert lines == [*map(str, range(1, 10_001)), "caf\ufffdsucceeded"]
