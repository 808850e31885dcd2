"""Runs on a terminal: real ones, over HTTP and the stream."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from supervisor.access.claims import full_claims
from supervisor.model import SYSTEM, Stream
from supervisor.wire import TokenRequest
from tests.patience import PATIENCE_S
from tests.web.scene import output
from tests.web.served import Site
from tests.web.watching import watch
from web.streams import keyboard

FACTS = """
import json, os, sys, termios
terminal = os.open("/dev/tty", os.O_RDWR)
attributes = termios.tcgetattr(0)
print(json.dumps({
    "tty": [os.isatty(fd) for fd in range(3)],
    "one": len({os.fstat(fd).st_rdev for fd in range(3)}) == 1,
    "session": os.getsid(0) == os.getpid() == os.tcgetpgrp(terminal),
    "size": list(os.get_terminal_size(0)),
    "utf8": bool(attributes[0] & 0o40000),
    "term": os.environ["TERM"],
    "columns": os.environ.get("COLUMNS"),
}))
"""
BY_PYTHON = (sys.executable, "-I", "-S", "-c")


async def pty(site: Site, *command: str, **more: object) -> str:
    body = {"command": command, "output": "pty", **more}
    answer = await site.http.post("/runs", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def log_of(site: Site, run_id: str) -> bytes:
    return (await site.http.get(f"/runs/{run_id}/log")).content


async def send(site: Site, run_id: str, data: bytes, **query: str) -> dict[str, Any]:
    answer = await site.http.post(f"/runs/{run_id}/input", content=data, params=query)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def wait_for_text(site: Site, run_id: str, text: bytes) -> None:
    """Return once that stands in the log."""
    run = await site.supervisor.get(run_id)
    with trio.fail_after(PATIENCE_S), site.supervisor.open_log(run) as view:
        while text not in (log := await log_of(site, run_id)):
            with trio.move_on_after(0.5):
                while view.reader.size == len(log):
                    await view.changed.wait()


# --- what it is ----------------------------------------------------------------------------------


async def test_it_is_the_controlling_terminal_of_the_runs_session(site: Site) -> None:
    size = {"columns": 101, "rows": 37}
    run_id = await pty(site, *BY_PYTHON, FACTS, terminal=size, env={"PATH": "/usr/bin:/bin"})
    ended = await site.ended(run_id)
    assert json.loads(await log_of(site, run_id)) == {
        "tty": [True, True, True],
        "one": True,
        "session": True,
        "size": [101, 37],
        "utf8": True,
        "term": "xterm-256color",
        "columns": None,
    }
    assert (ended["status"], ended["output_complete"]) == ("succeeded", True)
    assert (ended["spec"]["output"], ended["spec"]["terminal"]) == ("pty", size)
    assert ended["terminal"] == size


async def test_a_run_on_pipes_has_none(site: Site) -> None:
    run_id = await site.shell("test -t 0 || test -t 1 || (exec 3<>/dev/tty)")
    ended = await site.ended(run_id)
    assert ended["exit_code"] != 0
    assert (ended["terminal"], ended["spec"]["terminal"]) == (None, None)


async def test_its_environment_may_say_otherwise(site: Site) -> None:
    run_id = await pty(site, "sh", "-c", "echo $TERM", env={"TERM": "vt100"})
    await site.ended(run_id)
    assert await log_of(site, run_id) == b"vt100\r\n"


# --- what comes out ------------------------------------------------------------------------------


async def test_what_it_puts_out_is_stored_as_it_is(site: Site) -> None:
    """A terminal ends lines with CR LF; on one set to raw, nothing is changed. All is stdout."""
    run_id = await pty(site, "sh", "-c", "echo out; echo err >&2; stty raw; printf 'a\\nb\\377\\0'")
    await site.ended(run_id)
    assert await log_of(site, run_id) == b"out\r\nerr\r\na\nb\xff\0"
    with site.supervisor.open_log(await site.supervisor.get(run_id)) as view:
        pieces = view.reader.read(0, 1000)
    assert {piece.stream for piece in pieces} == {Stream.STDOUT}  # type: ignore[union-attr]


async def test_much_output_is_exact(site: Site) -> None:
    """Some thousand times what a terminal holds, of every byte there is."""
    program = "import os; os.system('stty raw'); data = bytes(range(256)) * 20_000\n"
    program += "while data: data = data[os.write(1, data):]"
    run_id = await pty(site, *BY_PYTHON, program)
    ended = await site.ended(run_id)
    wanted = bytes(range(256)) * 20_000
    got = await log_of(site, run_id)
    assert (len(got), ended["log"]["size"]) == (len(wanted), len(wanted))
    assert hashlib.sha256(got).digest() == hashlib.sha256(wanted).digest()


async def test_the_last_words_before_the_end_are_there(site: Site) -> None:
    """The end of a terminal is an error of read(2): it must not swallow what came before."""
    for number in range(20):
        run_id = await pty(site, "sh", "-c", f"printf 'last words {number}'")
        ended = await site.ended(run_id)
        assert ended["output_complete"] is True
        assert await log_of(site, run_id) == b"last words %d" % number


async def test_a_terminal_that_was_let_go_can_be_opened_again(site: Site) -> None:
    """Nobody has it open for a while, and that is not its end."""
    line = "exec <&- >&- 2>&-; sleep 0.2; echo again > /dev/tty; exit 3"
    run_id = await pty(site, "sh", "-c", line)
    ended = await site.ended(run_id)
    assert (ended["exit_code"], ended["output_complete"]) == (3, True)
    assert await log_of(site, run_id) == b"again\r\n"


async def test_who_holds_the_terminal_after_the_end_is_killed_and_named(site: Site) -> None:
    run_id = await pty(site, "sh", "-c", "trap '' HUP; sleep 600 & echo $!")
    ended = await site.ended(run_id)
    pid = int(await log_of(site, run_id))
    assert (ended["status"], ended["killed"]) == ("succeeded", [pid])


async def test_a_program_that_is_not_there_fails_the_start(site: Site) -> None:
    run_id = await pty(site, "no-such-program")
    ended = await site.ended(run_id)
    assert (ended["reason"], ended["log"]["size"]) == ("start_failed", 0)


async def test_it_can_be_cancelled(site: Site) -> None:
    run_id = await pty(site, "sh", "-c", "echo ready; sleep 600")
    await wait_for_text(site, run_id, b"ready")
    await site.http.post(f"/runs/{run_id}/cancel")
    ended = await site.ended(run_id)
    assert (ended["status"], ended["signal"]) == ("cancelled", "TERM")


# --- what goes in --------------------------------------------------------------------------------


async def test_what_is_typed_is_echoed_and_read(site: Site) -> None:
    run_id = await pty(site, "sh", "-c", 'read line; echo "got $line"')
    await site.running(run_id)
    assert await send(site, run_id, "zwölf\r".encode()) == {"taken": 7, "eof": False}
    await site.ended(run_id)
    assert (await log_of(site, run_id)).decode() == "zwölf\r\ngot zwölf\r\n"


async def test_keys_make_signals(site: Site) -> None:
    """Ctrl-C is for the program in the foreground, not for the shell that waits for it."""
    line = "trap 'echo interrupted' INT; sh -c 'echo ready; exec cat'; echo after"
    run_id = await pty(site, "sh", "-c", line)
    await wait_for_text(site, run_id, b"ready")
    await send(site, run_id, b"\x03")
    ended = await site.ended(run_id)
    assert b"after" in await log_of(site, run_id)
    assert ended["status"] == "succeeded"


async def test_eof_types_the_key_that_ends_the_input(site: Site) -> None:
    """And the terminal stays: what reads next can be typed to as well."""
    run_id = await pty(site, "sh", "-c", 'cat; read line; echo "then $line"')
    await site.running(run_id)
    assert await send(site, run_id, b"one\n", eof="1") == {"taken": 4, "eof": True}
    await wait_for_text(site, run_id, b"one\r\none\r\n")
    await send(site, run_id, b"two\n")
    await site.ended(run_id)
    assert (await log_of(site, run_id)).endswith(b"then two\r\n")


@pytest.mark.parametrize("stdin", [{"text": "x"}, {"file": "/etc/passwd"}])
async def test_it_reads_the_terminal_and_nothing_else(site: Site, stdin: object) -> None:
    body = {"shell": "cat", "output": "pty", "stdin": stdin}
    answer = await site.http.post("/runs", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "stdin")


# --- its size ------------------------------------------------------------------------------------


SIZES = """
import os, signal, sys
def tell(*_): print(*os.get_terminal_size(0), flush=True)
signal.signal(signal.SIGWINCH, tell)
tell()
for line in sys.stdin: pass
"""


async def resize(site: Site, run_id: str, columns: int, rows: int) -> dict[str, Any]:
    body = {"columns": columns, "rows": rows}
    answer = await site.http.post(f"/runs/{run_id}/resize", json=body)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def test_a_resize_reaches_the_program_and_is_recorded(site: Site) -> None:
    run_id = await pty(site, *BY_PYTHON, SIZES)
    await wait_for_text(site, run_id, b"80 24\r\n")
    shown = await resize(site, run_id, 120, 40)
    assert shown["terminal"] == {"columns": 120, "rows": 40}
    assert shown["spec"]["terminal"] == {"columns": 80, "rows": 24}
    await wait_for_text(site, run_id, b"120 40\r\n")
    await resize(site, run_id, 120, 40)
    events = (await site.http.get(f"/runs/{run_id}/events")).json()["events"]
    resized = [event["entry"] for event in events if event["entry"]["event"]["type"] == "resized"]
    assert [entry["event"]["terminal"] for entry in resized] == [{"columns": 120, "rows": 40}]
    assert [entry["by"]["name"] for entry in resized] == ["WS_AUTH_TOKEN"]
    await send(site, run_id, b"", eof="1")
    assert (await site.ended(run_id))["terminal"] == {"columns": 120, "rows": 40}


async def test_a_viewer_with_the_right_resizes_and_all_viewers_are_told(site: Site) -> None:
    run_id = await pty(site, *BY_PYTHON, SIZES)
    await wait_for_text(site, run_id, b"80 24\r\n")
    path = f"/runs/{run_id}/stream"
    async with watch(site, path) as typist, watch(site, path) as other:
        await typist.say({"type": "resize", "columns": 90, "rows": 30})
        for watcher in (typist, other):
            while not any(message.get("event") == "resized" for message in watcher.said):
                await watcher.hear()
            [told] = [message for message in watcher.said if message.get("event") == "resized"]
            assert told["terminal"] == {"columns": 90, "rows": 30}
        await typist.say({"type": "input", "eof": True})
        said = await other.hear_until("end")
        text = "".join(message["data"] for message in output(said))
        assert text.startswith("80 24\r\n90 30\r\n")


async def test_of_many_sizes_that_come_at_once_the_last_one_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a window that is being drawn. Not each of them is an event for ever."""
    monkeypatch.setattr(keyboard, "_RESIZE_S", 1.0)
    run_id = await pty(site, "sleep", "60")
    await site.running(run_id)
    async with watch(site, f"/runs/{run_id}/stream") as typist:
        for columns in range(100, 200):
            await typist.say({"type": "resize", "columns": columns, "rows": 30})
        while not any(message.get("terminal", {}).get("columns") == 199 for message in typist.said):
            await typist.hear()
        told = [message for message in typist.said if message.get("event") == "resized"]
        assert len(told) < 50


async def test_who_only_watches_does_not_resize(site: Site) -> None:
    run_id = await pty(site, "sleep", "60")
    await site.running(run_id)
    token = await site.tokens.issue(TokenRequest(scope="runs:read"), full_claims(SYSTEM))
    async with watch(site, f"/runs/{run_id}/stream", token=token.token) as watcher:
        await watcher.say({"type": "resize", "columns": 90, "rows": 30})
        said = await watcher.hear_until("resize")
        assert said[-1]["code"] == "forbidden"
    assert (await site.run(run_id))["terminal"] == {"columns": 80, "rows": 24}
    headers = {"Authorization": f"Bearer {token.token}"}
    answer = await site.http.post(f"/runs/{run_id}/resize", json={}, headers=headers)
    assert (answer.status_code, answer.json()["scope"]) == (403, "runs:input")


@pytest.mark.parametrize("size", [{"columns": 0}, {"rows": 1001}, {"columns": "80"}, {"cols": 80}])
async def test_a_size_that_there_is_not_is_refused(site: Site, size: dict[str, Any]) -> None:
    run_id = await pty(site, "sleep", "60")
    await site.running(run_id)
    answer = await site.http.post(f"/runs/{run_id}/resize", json=size)
    assert (answer.status_code, answer.json()["field"]) == (422, *size)
    answer = await site.http.post("/runs", json={"shell": "x", "output": "pty", "terminal": size})
    assert answer.status_code == 422


async def test_what_has_no_terminal_cannot_be_resized(site: Site, tmp_path: Path) -> None:
    pipes = await site.shell("sleep 60")
    await site.running(pipes)
    over = await pty(site, "true")
    await site.ended(over)
    for run_id, code in ((pipes, "no_terminal"), (over, "run_ended")):
        answer = await site.http.post(f"/runs/{run_id}/resize", json={})
        assert (answer.status_code, answer.json()["code"]) == (409, code)
