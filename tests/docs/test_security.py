"""docs/security.md: its examples work, and what it lists is what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from supervisor.access.claims import Scope
from supervisor.config.authtable import ALGORITHMS
from supervisor.config.settings import read_settings
from supervisor.units import KIB
from tests.cli.conftest import RUNWIRE, Server, serving
from tests.patience import PATIENCE_S
from tools.base import ROOT
from web.auth.keys import read_key
from web.fence import fence
from web.streams import conversation

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the sample jobs.toml and --dev."""
    made = Server(tmp_path)
    shutil.copy(ROOT / "jobs.toml", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", dirs_exist_ok=True)
    with serving(made):
        yield made


@pytest.mark.skipif(
    None in (shutil.which("curl"), shutil.which("openssl")), reason="needs curl and openssl"
)
def test_its_commands_work_in_their_order(server: Server, tmp_path: Path) -> None:
    environment = server.environment
    environment["PATH"] = f"{Path(RUNWIRE).parent}:{environment['PATH']}"
    for example in blocks("sh"):
        # What one block exports is for that block: the token is of no use for the next.
        here = example.replace("http://127.0.0.1:4000", server.url.rstrip("/"))
        here = here.replace("export ", "unset RUNWIRE_SOCKET; export ")
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", here],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{example}\n{done.stdout}{done.stderr}"
    assert jwt.decode(
        (tmp_path / "ci.token").read_text().strip(), options={"verify_signature": False}
    )["jobs"] == ["report"]
    assert read_key((tmp_path / "ci.pem").read_bytes()).algorithm == "EdDSA"
    revoked = server.output("token", "list")
    assert "revoked" in revoked


def test_its_program_makes_a_good_token(server: Server) -> None:
    (program,) = blocks("python")
    token = subprocess.run(
        [sys.executable, "-c", program],
        cwd=server.state,
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    ).stdout.decode()
    done = server.run(
        "list", RUNWIRE_SOCKET="", RUNWIRE_URL=server.url, RUNWIRE_TOKEN=token.strip()
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("text", blocks("toml"))
def test_its_settings_are_right(text: str) -> None:
    settings = read_settings(text, Path("/srv/jobs.toml"), environ={"HOME": "/"})
    assert settings.warnings == ()


def test_it_has_every_scope_and_no_other() -> None:
    (table,) = re.findall(r"### Scopes\n(.*?)\n###", PAGE, re.DOTALL)
    assert re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) == list(Scope)


def test_it_names_every_algorithm() -> None:
    assert [name for name in ALGORITHMS if name not in PAGE] == []


def test_its_numbers_are_those_of_the_server() -> None:
    assert f"may have {fence._MESSAGE_BYTES // KIB} Ki characters" in PAGE
    assert f"has {conversation.HELLO_WAIT_S:g} seconds to say `hello`" in PAGE
    assert (fence._SHUTDOWN_S, "waits two seconds for its clients at most" in PAGE) == (2.0, True)
