"""docs/python-client.md: its programs do what it says, and its tables are complete."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.client import follow
from supervisor.client.updates import End, Gap
from supervisor.frames import Output
from tests.cli.conftest import Server, serving
from tests.patience import PATIENCE_S
from tools.base import ROOT

PAGE = (ROOT / "docs" / "python-client.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Server(tmp_path_factory.mktemp("docs"))) as server:
        yield server


def run_program(program: str, cwd: Path, *arguments: str) -> list[str]:
    """What it prints; its errors are none of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_its_first_program_follows_a_run(server: Server) -> None:
    run_id = server.submit("--shell", "echo out; exit 3")
    told = run_program(PROGRAMS[0], server.directory, server.socket, run_id)
    assert "0 stdout b'out\\n'" in told
    assert "it is queued - queued" in told
    assert told[-1] == "ended: failed 3"


def test_its_second_program_takes_its_token_from_a_file(server: Server) -> None:
    token = server.output("token", "create", "--scope", "runs:read").strip()
    (server.directory / "ci.token").write_text(token)
    run_id = server.submit("--", "true")
    assert run_program(PROGRAMS[1], server.directory, server.url, run_id) == ["succeeded"]


def test_it_tells_every_parameter_and_field() -> None:
    section = PAGE.partition("`follow` takes:")[2].partition("##")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert rows == list(inspect.signature(follow.follow).parameters)
    for kind in (Output, Gap, End):
        (row,) = re.findall(rf"^\| `{kind.__name__}` \|.*", PAGE, re.MULTILINE)
        assert [name for name in kind.__struct_fields__ if f"`{name}`" not in row] == []
