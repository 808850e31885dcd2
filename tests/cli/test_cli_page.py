"""The examples in docs/cli.md do what they say, in the order in which one reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import RUNWIRE, Server, serving
from tests.patience import PATIENCE_S
from tools.base import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_work(tmp_path: Path) -> None:
    """With the sample jobs.toml."""
    server = Server(tmp_path)
    shutil.copy(ROOT / "jobs.toml", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = server.environment
    environment["PATH"] = f"{Path(RUNWIRE).parent}:{environment['PATH']}"
    with serving(server):
        for example in EXAMPLES:
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", example],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            if done.returncode != 0:
                pytest.fail(f"{example}\n{done.stdout}{done.stderr}")
        assert "exit 3" in server.output("show", "build-42")
