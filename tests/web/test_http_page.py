"""docs/http.md tells all of the API, and its examples work."""

from __future__ import annotations

import re
import shutil
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import trio

from supervisor import errors
from tests.patience import PATIENCE_S
from tests.web.served import OpenSite
from tools.base import ROOT
from web.api.endpoints import ROUTES
from web.api.log import OFFSET_HEADER, OLDEST_HEADER, SIZE_HEADER
from web.api.openapi import with_document
from web.auth.auth import make_auth
from web.problems import HTTP_CODES, STATUS, status_of_kind

PAGE = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|")
]
BLOCKS = re.findall(r"^```(sh|text)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)

ENDED = """
until curl -sf -H "$AUTH" $URL/runs/first | grep -q '"ended_at":"'; do sleep 0.1; done
"""
"""Who reads on has waited that long; only what has ended can be retried."""


def words(column: int) -> set[str]:
    """What stands in backquotes at the beginning of a column's cells, in any table."""
    found: set[str] = set()
    for row in ROWS:
        if len(row) > column:
            found.update(re.findall(r"`([^`]+)`", row[column]))
    return found


def test_every_call_is_told_with_its_scopes_and_answers() -> None:
    told = {}
    for row in ROWS:
        call = re.match(r"\[`([A-Z]+ /\S*)`\]", row[0])
        if call:
            told[call[1]] = row[1:]
    routes = {f"{route.method} {route.path}": route for route in with_document(ROUTES, "")}
    assert set(told) == set(routes)
    for name, (scopes, answers) in told.items():
        route = routes[name]
        if route.path != "/runs/{id}/retry":
            assert set(re.findall(r"`([^`]+)`", scopes)) == set(route.scopes)
        told_answers = {int(status) for status in re.findall(r"\d{3}", answers)}
        assert told_answers == {status for status in route.answers if status < 400}


def test_every_parameter_field_and_header_is_told() -> None:
    told = words(0)
    for route in ROUTES:
        for kind in filter(None, (route.query, route.body)):
            names = {field.encode_name for field in msgspec.structs.fields(kind)}
            # The only field of a signal is told in its text.
            assert names <= told | {"signal"}, route.path
    assert {OFFSET_HEADER, OLDEST_HEADER, SIZE_HEADER} <= told


def test_every_error_is_told_with_its_status() -> None:
    told = {(row[1].strip("`"), int(row[0])) for row in ROWS if re.fullmatch(r"\d{3}", row[0])}
    known = {(code, int(status)) for status, code in HTTP_CODES.items()}

    def add(kind: type[errors.RunwireError]) -> None:
        inner = kind.__subclasses__()
        status = status_of_kind(kind)
        if not inner and status is not HTTPStatus.INTERNAL_SERVER_ERROR:
            known.add((kind.code, int(status)))
        for child in inner:
            add(child)

    add(errors.RunwireError)
    known |= {(kind.code, int(status)) for kind, status in STATUS.items() if kind.__subclasses__()}
    abstract = {"conflict", "denied", "unavailable"}
    rare = {"not_implemented"}
    assert told <= known
    assert {code for code, _ in known - told} <= abstract | rare


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")
async def test_the_examples_work_as_they_stand(open_site: OpenSite, tmp_path: Path) -> None:
    auth = make_auth({}, dev=True)
    async with open_site(auth=auth, jobs=ROOT / "jobs.toml") as site:
        script = ["set -e"]
        for number, (kind, text) in enumerate(BLOCKS):
            if "/retry" in text:
                script.append(ENDED)
            if kind == "sh":
                script.append(f"{{\n{text}\n}} > {tmp_path}/{number}")
        port = urlsplit(str(site.http.base_url)).port
        lines = "\n".join(script).replace("127.0.0.1:4000", f"127.0.0.1:{port}")
        with trio.fail_after(2 * PATIENCE_S):
            done = await trio.run_process(
                ["sh", "-c", lines], check=False, capture_stderr=True, cwd=tmp_path
            )
        assert done.returncode == 0, done.stderr
        for number, (kind, text) in enumerate(BLOCKS):
            if kind == "text":
                assert (tmp_path / str(number - 1)).read_text().strip() == text.strip()
