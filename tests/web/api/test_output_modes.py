"""What a run writes to, as its log and its streams show it."""

from __future__ import annotations

import sys

from tests.web.served import Site

TURNS = """
import os
for number in range(2000):
    os.write(1 + number % 2, b"%d\\n" % number)
"""
"""Writes to both streams in turn, as fast as it can."""


async def test_what_is_merged_stands_in_the_order_in_which_it_was_written(site: Site) -> None:
    """With a pipe for each stream, most lines would have changed places."""
    body = {"command": [sys.executable, "-I", "-S", "-c", TURNS], "output": "merged"}
    run_id = (await site.http.post("/runs", json=body)).json()["id"]
    ended = await site.ended(run_id)
    assert (ended["status"], ended["spec"]["output"]) == ("succeeded", "merged")
    log = await site.http.get(f"/runs/{run_id}/log")
    assert log.text.split() == [str(number) for number in range(2000)]


async def test_what_is_merged_counts_as_stdout(site: Site) -> None:
    run_id = await site.shell("echo out; echo err >&2", output="merged")
    await site.ended(run_id)
    for stream, text in (("stdout", "out\nerr\n"), ("stderr", "")):
        part = await site.http.get(f"/runs/{run_id}/log", params={"stream": stream})
        assert part.text == text


async def test_the_end_of_what_is_merged_is_the_end_of_both(site: Site) -> None:
    """One stream may be closed long before the other: the output goes on."""
    run_id = await site.shell("echo a; exec >&-; echo b >&2; exec 2>&-; exit 3", output="merged")
    ended = await site.ended(run_id)
    assert (ended["exit_code"], ended["output_complete"]) == (3, True)
    assert (await site.http.get(f"/runs/{run_id}/log")).text == "a\nb\n"


async def test_a_mode_that_there_is_not_is_refused(site: Site) -> None:
    answer = await site.http.post("/runs", json={"shell": "true", "output": "both"})
    assert (answer.status_code, answer.json()["field"]) == (422, "output")
