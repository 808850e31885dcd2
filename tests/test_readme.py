"""Every command in the README does what the README says, in its order, on a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.config.settings import load

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
STARTS = {"./dev run", "./dev test"}
"""Those that start the server and the tests: one is the fixture here, the other runs this."""
SUBMIT = ".venv/bin/runwire submit stubborn --id my-tree"
LOOK = ".venv/bin/runwire logs my-tree"
CHILDREN = 3
"""As many as there are by default; each says that it is there."""
EXPECTED = {
    ".venv/bin/runwire jobs": "stubborn",
    ".venv/bin/runwire run test-card": "stderr",
    SUBMIT: "my-tree",
    ".venv/bin/runwire list --status running": "my-tree",
    ".venv/bin/runwire show my-tree": "KILL",
    ".venv/bin/runwire check jobs.toml": "no mistakes",
}
"""A word that the answer must have, where success alone says little."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], str]]:
    """`./dev run`, with a state directory and a port of its own: its environment and its URL."""
    assert COMMANDS[0] == "./dev run"
    state = tmp_path_factory.mktemp("state")
    environment = os.environ | {"RUNWIRE_STATE_DIR": str(state)}
    command = [sys.executable, str(ROOT / "dev"), "run", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = None
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                url = found[0]
                break
        assert url is not None
        yield environment, url
        process.terminate()
        assert process.wait(timeout=180) == 0


def test_its_commands_do_what_it_says(server: tuple[dict[str, str], str]) -> None:
    environment, url = server
    for command in COMMANDS:
        if command in STARTS:
            continue
        said = answer(command.replace("http://127.0.0.1:4000", url), environment)
        assert EXPECTED.get(command, "") in said, f"{command}\n{said}"
        # Whoever types the next command gives it the time to begin.
        while command == SUBMIT and answer(LOOK, environment).count("here, with") < CHILDREN:
            pass


def answer(command: str, environment: dict[str, str]) -> str:
    """What a command says that is to succeed."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=180,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, f"{command}\n{said}"
    return said


def test_its_job_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "jobs.toml"
    file.write_text(example, encoding="utf-8")
    assert list(load(file, environ={"HOME": "/"}).jobs) == ["nightly-import"]
