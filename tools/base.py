"""What all of `./dev` stands on: where the project is, starting programs, refusing."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent

# Directories that are not the project's own text: made by tools, or written by others.
FOREIGN = {"node_modules", "vendor", "dist", "build", "state", "__pycache__"}


class Refusal(Exception):
    """`./dev` cannot do it. The text is one sentence for whoever typed the command."""


def call(command: Sequence[str | Path], *, env: dict[str, str] | None = None) -> int:
    """Run a command in the project's directory and return its exit code.

    Ctrl-C reaches the command as well; it decides what to do, and we wait for it.
    """
    sys.stdout.flush()
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def become(command: Sequence[str | Path]) -> NoReturn:
    """Replace this process by a command, run in the project's directory."""
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(command[0], [str(word) for word in command])


def directories() -> Iterator[Path]:
    """Each directory of the project, without hidden ones; foreign ones are named, not entered."""
    for name, children, _ in os.walk(ROOT):
        directory = Path(name)
        if directory.name in FOREIGN:
            children.clear()
        children[:] = sorted(child for child in children if not child.startswith("."))
        yield directory
