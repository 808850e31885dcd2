"""The tests of the pages' pure parts, written in JavaScript: run by the Node that Playwright brings."""

import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

HERE = Path(__file__).parent
NODE, _ = compute_driver_executable()


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_javascript(file: Path) -> None:
    """What the file promises; its own report says which promise is broken."""
    done = subprocess.run([NODE, "--test", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nℹ pass 0\n" not in done.stdout  # noqa: RUF001 - how node says it
