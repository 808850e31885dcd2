"""A log is searched over HTTP: hits as they are found, within bounds, harming nobody."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from supervisor.log.trimming import trim
from supervisor.logsearch import MAX_OPEN
from supervisor.model import Stream
from tests.patience import PATIENCE_S
from tests.web.served import TOKEN, OpenSite, Site, until
from tests.web.watching import faucet

GIB = 1024**3
OUT, ERR = Stream.STDOUT, Stream.STDERR

Lines = list[dict[str, Any]]


async def found(site: Site, run_id: str, **query: Any) -> Lines:
    """The lines of the answer to a search that is let in; the last one is the end."""
    with trio.fail_after(PATIENCE_S):
        answer = await site.http.get(f"/runs/{run_id}/log/search", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["type"] == "end" for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines


def big_log(site: Site, run_id: str, mib: int) -> None:
    """Make the log of an ended run this much longer, with lines that no program has to write."""
    (log,) = site.socket.parent.rglob(f"{run_id}.log")
    with Path(log).open("ab") as file:
        file.write((b"x" * 63 + b"\n" + (b"y" * 63 + b"\n") * (16 * 1024 - 1)) * mib)


async def test_a_hit_tells_where_and_what_and_what_is_around_it(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("printf 'one\\nein Märchen\\nthree\\n'")
        await site.ended(run_id)
        hit, end = await found(site, run_id, q="rch", context=1)
        when = hit.pop("time")
        assert hit == {
            "type": "hit",
            "stream": "stdout",
            "line": 4,
            "offset": 11,
            "length": 3,
            "text": "ein Märchen",
            "at": [6, 9],
            "cut": False,
            "whole": True,
            "before": ["one"],
            "after": ["three"],
        }
        assert when.endswith("Z")
        assert end == {
            "type": "end",
            "complete": True,
            "stopped": "end",
            "next": 23,
            "searched": 23,
            "hits": 1,
        }


async def test_text_and_expressions_with_and_without_case(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo 'a.b AxB'; echo axb; echo AXB")
        await site.ended(run_id)

        async def offsets(**query: Any) -> list[int]:
            return [line["offset"] for line in (await found(site, run_id, **query))[:-1]]

        assert await offsets(q="a.b") == [0]
        assert await offsets(q="a.b", regex=1) == [0, 8]
        assert await offsets(q="axb", case=0) == [4, 8, 12]
        assert await offsets(q="^axb$", regex=1, case=0) == [8, 12]


async def test_a_line_is_one_of_its_stream_whatever_the_other_wrote(
    open_site: OpenSite, tmp_path: Path
) -> None:
    async with open_site() as site:
        async with faucet(site, tmp_path) as tap:
            for stream, data in ((OUT, b"needle"), (ERR, b"needle\n"), (OUT, b"s\n")):
                await tap.write(stream, data)
            await tap.end()
        run_id = tap.run_id
        hits = (await found(site, run_id, q="needle"))[:-1]
        assert {(hit["stream"], hit["text"]) for hit in hits} == {
            ("stdout", "needles"),
            ("stderr", "needle"),
        }
        (hit, _) = await found(site, run_id, q="needle", stream="stderr")
        assert hit["stream"] == "stderr"


async def test_next_goes_on_where_the_limit_stopped_it(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("seq 100 199")
        await site.ended(run_id)
        first = await found(site, run_id, q="1", limit=60)
        assert first[-1]["stopped"] == "limit"
        assert not first[-1]["complete"]
        second = await found(site, run_id, q="1", limit=60, **{"from": first[-1]["next"]})
        assert second[-1]["complete"]
        texts = [line["text"] for line in first[:-1] + second[:-1]]
        assert texts == [str(number) for number in range(100, 200)]


async def test_a_running_run_is_searched_as_far_as_it_has_come(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo ready; printf 'Password: '; sleep 60")
        await site.running(run_id, written=16)
        ready, prompt, end = await found(site, run_id, q="[Rr]eady|Password", regex=1)
        assert ready["whole"]
        assert not prompt["whole"]
        assert end["next"] == 16


async def test_what_is_not_kept_is_told(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo one needle; echo two needle")
        await site.ended(run_id)
        (log,) = site.socket.parent.rglob(f"{run_id}.log")
        trim(log.parent, run_id, 11)
        gap, hit, end = await found(site, run_id, q="needle")
        assert gap == {"type": "gap", "from": 0, "to": 11, "reason": "trimmed"}
        assert hit["line"] == 11
        assert end["complete"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "x" * 1001}, "q"),
        ({"q": "a\nb"}, "q"),
        ({"q": "(", "regex": "1"}, "q"),
        ({"q": "(?=a)", "regex": "1"}, "q"),
        ({"q": r"\Aa", "regex": "1"}, "q"),
        ({"q": r"(?-m)^a", "regex": "1"}, "q"),
        ({"q": "(.{1,1000}){1,1000}", "regex": "1"}, "q"),
        ({"q": ".{900}", "regex": "1"}, "q"),
        ({"q": "a", "limit": "0"}, "limit"),
        ({"q": "a", "limit": "1001"}, "limit"),
        ({"q": "a", "context": "11"}, "context"),
        ({"q": "a", "stream": "stdin"}, "stream"),
        ({"q": "a", "from": "x"}, "from"),
        ({"q": "a", "regexp": "1"}, "regexp"),
    ],
)
async def test_a_bad_query_is_refused_naming_what_is_wrong(
    open_site: OpenSite, query: dict[str, str], field: str
) -> None:
    async with open_site() as site:
        answer = await site.http.get("/runs/nobody/log/search", params=query)
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert problem["code"] == "bad_value"
        assert field in {problem.get("field"), problem["detail"].partition(":")[0]} or (
            f"`{field}`" in problem["detail"]
        )


async def test_an_offset_beyond_the_log_is_refused(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo x")
        await site.ended(run_id)
        answer = await site.http.get(f"/runs/{run_id}/log/search", params={"q": "x", "from": "3"})
        assert answer.status_code == 416
        assert (await found(site, run_id, q="x", **{"from": -1}))[0]["line"] == 0


async def test_an_expression_that_would_run_for_ever_elsewhere_does_not(
    open_site: OpenSite,
) -> None:
    async with open_site() as site:
        run_id = await site.shell("head -c 1000000 /dev/zero | tr '\\0' x; echo")
        await site.ended(run_id)
        (end,) = await found(site, run_id, q="(x+x+)+y", regex=1)
        assert end["complete"]


async def test_a_search_ends_when_its_client_goes(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo")
        await site.ended(run_id)
        (log,) = site.socket.parent.rglob(f"{run_id}.log")
        os.truncate(log, 1024 * GIB)  # A hole: nothing of it is on the disk.
        searches = site.supervisor.searches
        host, port = site.address
        with socket.create_connection((host, port)) as client:
            client.sendall(
                f"GET /runs/{run_id}/log/search?q=(%5Ba-x%5D|w)%2Bz$&regex=1 HTTP/1.1\r\n"
                f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
            )
            await until(lambda: searches.open == 1)
        # All of it would take far longer than there is patience.
        await until(lambda: searches.open == 0)


async def test_only_so_many_searches_are_under_way(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo")
        await site.ended(run_id)
        searches = site.supervisor.searches
        searches.open = MAX_OPEN
        answer = await site.http.get(f"/runs/{run_id}/log/search", params={"q": "x"})
        assert answer.status_code == 429
        assert answer.json()["code"] == "too_many_searches"
        assert answer.headers["retry-after"]
        searches.open = 0
        assert await found(site, run_id, q="x")


async def test_searches_beside_each_other_all_come_to_their_end(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo")
        await site.ended(run_id)
        big_log(site, run_id, 8)
        ends: Lines = []

        async def one() -> None:
            ends.append((await found(site, run_id, q="x"))[-1])

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(one)
        assert [end["hits"] for end in ends] == [8] * 8


async def test_head_says_what_would_come_and_searches_nothing(open_site: OpenSite) -> None:
    async with open_site() as site:
        run_id = await site.shell("echo x")
        await site.ended(run_id)
        answer = await site.http.head(f"/runs/{run_id}/log/search", params={"q": "x"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"


async def test_the_document_tells_the_lines_of_the_answer(open_site: OpenSite) -> None:
    async with open_site() as site:
        paths = (await site.http.get("/openapi.json")).json()["paths"]
        content = paths["/runs/{id}/log/search"]["get"]["responses"]["200"]["content"]
        lines = content["application/x-ndjson"]["schema"]["oneOf"]
        assert {line["$ref"].rpartition("/")[2] for line in lines} == {
            "Hit",
            "SearchGap",
            "SearchEnd",
        }
