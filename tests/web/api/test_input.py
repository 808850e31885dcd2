"""What a run reads, sent over HTTP: taken as fast as it reads, never kept, and ended on purpose."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import httpx
import pytest
import trio

from supervisor.access.claims import full_claims
from supervisor.model import SYSTEM
from supervisor.testing import noise, wait_until
from supervisor.wire import TokenRequest
from tests.web.served import OpenSite, Site
from web.api import input as api_input

MANY = 600_000
"""Far more than a pipe holds, and less than the largest body."""


async def started(site: Site, line: str, **more: object) -> str:
    run_id = await site.shell(line, **{"stdin": "open", **more})
    await site.running(run_id)
    return run_id


async def send(site: Site, run_id: str, data: bytes, **query: str) -> httpx.Response:
    return await site.http.post(f"/runs/{run_id}/input", content=data, params=query)


async def log_of(site: Site, run_id: str) -> bytes:
    return (await site.http.get(f"/runs/{run_id}/log")).content


# --- what there is to read -----------------------------------------------------------------------


async def test_a_run_has_nothing_to_read_unless_it_says_so(site: Site) -> None:
    run_id = await site.shell("cat; echo done")
    ended = await site.ended(run_id)
    assert ended["spec"]["stdin"] == "closed"
    assert await log_of(site, run_id) == b"done\n"


async def test_a_text_is_read_exactly(site: Site) -> None:
    """Larger than small pipes are, and with the bytes of more than one alphabet."""
    text = "line \x00 ünï\n" * 4000
    run_id = await site.shell("sha256sum", stdin={"text": text})
    ended = await site.ended(run_id)
    assert ended["spec"]["stdin"] == {"text": text}
    assert (await log_of(site, run_id)).split()[0].decode() == (
        hashlib.sha256(text.encode()).hexdigest()
    )


async def test_a_text_cannot_be_written_to(site: Site) -> None:
    run_id = await site.shell("echo more >&0", stdin={"text": "x"})
    assert (await site.ended(run_id))["exit_code"] != 0


async def test_a_file_is_read_from_where_the_run_is(site: Site, tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes(b"one\ntwo\n")
    run_id = await site.shell("cat", cwd=str(tmp_path), stdin={"file": "words"})
    await site.ended(run_id)
    assert await log_of(site, run_id) == b"one\ntwo\n"


async def test_a_file_that_is_not_there_fails_the_start(site: Site) -> None:
    run_id = await site.shell("cat", stdin={"file": "/nowhere/words"})
    ended = await site.ended(run_id)
    assert (ended["status"], ended["reason"]) == ("failed", "start_failed")
    assert ended["message"] == (
        'cannot open "/nowhere/words", which it is to read: No such file or directory (ENOENT)'
    )


async def test_a_run_that_waits_for_its_file_can_be_cancelled(site: Site, tmp_path: Path) -> None:
    """Opening a named pipe takes until somebody writes to it."""
    os.mkfifo(tmp_path / "fifo")
    run_id = await site.shell("cat", stdin={"file": str(tmp_path / "fifo")})
    await site.running(run_id)
    await site.http.post(f"/runs/{run_id}/cancel")
    assert (await site.ended(run_id))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("stdin", "field"),
    [
        ({"file": "a", "text": "b"}, "stdin"),
        ({}, "stdin"),
        ({"file": ""}, "stdin.file"),
        ({"text": "x" * 65537}, "stdin.text"),
        ("opne", "stdin"),
        ({"fiel": "a"}, "stdin.fiel"),
    ],
)
async def test_what_cannot_be_read_is_refused(site: Site, stdin: object, field: str) -> None:
    answer = await site.http.post("/runs", json={"shell": "cat", "stdin": stdin})
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_what_a_job_reads_is_not_the_requests_to_say(site: Site) -> None:
    answer = await site.http.post("/runs", json={"job": "hello", "stdin": {"text": "x"}})
    assert (answer.status_code, answer.json()["field"]) == (400, "stdin")


# --- what is sent --------------------------------------------------------------------------------


async def test_what_is_sent_is_read_in_order_and_ended_on_purpose(site: Site) -> None:
    run_id = await started(site, "cat; echo end")
    for number in range(50):
        answer = await send(site, run_id, b"%d\n" % number)
        assert answer.json() == {"taken": len(b"%d\n" % number), "eof": False}
    assert (await send(site, run_id, b"last\n", eof="1")).json() == {"taken": 5, "eof": True}
    await site.ended(run_id)
    numbers = b"".join(b"%d\n" % number for number in range(50))
    assert await log_of(site, run_id) == numbers + b"last\nend\n"


async def test_every_byte_there_is_arrives(site: Site) -> None:
    data = noise(MANY, 7)
    run_id = await started(site, "sha256sum")
    answer = await send(site, run_id, data, eof="1")
    assert answer.json() == {"taken": MANY, "eof": True}
    await site.ended(run_id)
    assert (await log_of(site, run_id)).split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_two_senders_never_mix_their_bytes(site: Site) -> None:
    """Each sends more than a pipe holds, so both wait in the middle of it."""
    run_id = await started(site, "cat")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, site, run_id, b"a" * MANY)
        nursery.start_soon(send, site, run_id, b"b" * MANY)
    await send(site, run_id, b"", eof="1")
    await site.ended(run_id)
    assert await log_of(site, run_id) in (
        b"a" * MANY + b"b" * MANY,
        b"b" * MANY + b"a" * MANY,
    )


async def test_what_a_run_does_not_read_is_told_and_can_be_sent_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says how much was taken; with the rest, nothing is lost or doubled."""
    monkeypatch.setattr(api_input, "PATIENCE_S", 0.2)
    go = tmp_path / "go"
    run_id = await started(site, f"while ! test -e {go}; do sleep 0.02; done; sha256sum")
    data = noise(MANY, 8)
    first = (await send(site, run_id, data, eof="1")).json()
    assert 0 < first["taken"] < MANY
    assert first["eof"] is False
    assert (await send(site, run_id, b"x")).json() == {"taken": 0, "eof": False}
    go.touch()
    taken = first["taken"]
    while taken < MANY:
        taken += (await send(site, run_id, data[taken:], eof="1")).json()["taken"]
    await site.ended(run_id)
    assert (await log_of(site, run_id)).split()[0].decode() == hashlib.sha256(data).hexdigest()


# --- what is refused -----------------------------------------------------------------------------


async def test_a_run_that_reads_no_more_is_an_answer(site: Site) -> None:
    run_id = await started(site, "exec <&-; echo closed; sleep 60")
    await site.running(run_id, written=7)
    answer = await send(site, run_id, b"anybody?")
    assert (answer.status_code, answer.json()["code"]) == (409, "input_closed")
    assert "nobody reads it" in answer.json()["detail"]
    assert (await site.run(run_id))["status"] == "running"


async def test_who_waits_as_the_reader_goes_is_told_how_much_was_taken(
    site: Site, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    line = f"while ! test -e {go}; do sleep 0.02; done; exec <&-; sleep 60"
    run_id = await started(site, line)
    answers: list[httpx.Response] = []

    async def wait() -> None:
        answers.append(await send(site, run_id, b"x" * MANY))

    live = site.supervisor._engine.live[run_id]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        sender = live.console and live.console.input
        await wait_until(lambda: sender._turn.statistics().locked)  # type: ignore[union-attr]
        go.touch()
    assert (answers[0].status_code, answers[0].json()["code"]) == (409, "input_closed")
    assert "bytes were taken before" in answers[0].json()["detail"]


async def test_input_that_was_ended_takes_no_more(site: Site) -> None:
    run_id = await started(site, "cat; sleep 60")
    assert (await send(site, run_id, b"", eof="1")).json() == {"taken": 0, "eof": True}
    assert (await send(site, run_id, b"", eof="1")).json() == {"taken": 0, "eof": True}
    answer = await send(site, run_id, b"more")
    assert (answer.status_code, answer.json()["code"]) == (409, "input_closed")


async def test_a_run_without_open_input_takes_none(site: Site) -> None:
    run_id = await started(site, "sleep 60", stdin="closed")
    answer = await send(site, run_id, b"x")
    assert (answer.status_code, answer.json()["code"]) == (409, "input_closed")


async def test_a_run_that_waits_takes_none_yet(open_site: OpenSite) -> None:
    async with open_site(max_running=1) as site:
        await started(site, "sleep 60")
        waiting = await site.shell("cat", stdin="open")
        answer = await send(site, waiting, b"x")
        assert (answer.status_code, answer.json()["code"]) == (409, "input_closed")
        assert "has not started yet" in answer.json()["detail"]


async def test_a_run_that_has_ended_takes_none(site: Site) -> None:
    run_id = await site.shell("true", stdin="open")
    await site.ended(run_id)
    answer = await send(site, run_id, b"x")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_ended")


async def test_more_than_the_largest_body_is_refused(site: Site) -> None:
    run_id = await started(site, "cat > /dev/null")
    answer = await send(site, run_id, b"x" * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_it_takes_the_scope(site: Site) -> None:
    run_id = await started(site, "cat")
    for scope, status in (("runs:read runs:submit runs:cancel", 403), ("runs:input", 200)):
        token = await site.tokens.issue(TokenRequest(scope=scope), full_claims(SYSTEM))
        answer = await site.http.post(
            f"/runs/{run_id}/input",
            content=b"x",
            headers={"Authorization": f"Bearer {token.token}"},
        )
        assert answer.status_code == status, answer.text
        assert answer.json().get("scope") == ("runs:input" if status == 403 else None)


async def test_a_run_out_of_reach_is_none(site: Site) -> None:
    run_id = await started(site, "cat")
    wish = TokenRequest(scope="runs:input", runs=("others-*",))
    token = await site.tokens.issue(wish, full_claims(SYSTEM))
    headers = {"Authorization": f"Bearer {token.token}"}
    answer = await site.http.post(f"/runs/{run_id}/input", content=b"x", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_run")
