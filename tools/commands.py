"""The commands of `./dev`: one function each, its docstring is its help."""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tools import debian, suites
from tools.base import ROOT, Refusal, become, call
from tools.browser import need_browser
from tools.environment import BIN, DEVELOPMENT, PROJECT, PYTHON, RUNTIME, setup


def setup_command(arguments: list[str]) -> int:
    """Make .venv with all that Runwire needs; .venv/bin/runwire is then the command."""
    _refuse(arguments)
    setup()
    return 0


def run_command(arguments: list[str]) -> int:
    """Serve jobs.toml for development; further arguments go to `runwire serve`."""
    setup()
    become([BIN / "runwire", "serve", "--config", "jobs.toml", "--dev", *arguments])


def test_command(arguments: list[str]) -> int:
    """Run the tests, in a browser too; --all: also those that need more. Other arguments go to pytest."""
    parser = argparse.ArgumentParser(prog="./dev test", allow_abbrev=False, add_help=False)
    parser.add_argument("--all", action="store_true")
    options, pytest_arguments = parser.parse_known_args(arguments)
    setup(development=True)
    _need_for_tests()
    if options.all:
        suites.prepare_all()
    become(pytest_command(*pytest_arguments, everything=options.all))


def check_command(arguments: list[str]) -> int:
    """Run every check there is: style, types, imports, documents, vendored files, all tests."""
    _refuse(arguments)
    setup(development=True)
    _need_for_tests()
    suites.prepare_all()
    failed = []
    for name, command in CHECKS.items():
        print(f"\n== {name}", flush=True)
        if call(command) != 0:
            failed.append(name)
    print(f"\ncheck: failed: {', '.join(failed)}" if failed else "\ncheck: all is well")
    return 1 if failed else 0


def lock_command(arguments: list[str]) -> int:
    """Make the lock files anew, with the newest releases that pyproject.toml admits."""
    _refuse(arguments)
    setup(development=True)
    _lock(RUNTIME, PROJECT.name, "--group", "build")
    # The same release of a package in both, so that they install into one environment.
    _lock(DEVELOPMENT, "--group", "dev", "--constraint", RUNTIME.name)
    return 0


def bench_command(arguments: list[str]) -> int:
    """Run the benchmarks; arguments go to them."""
    in_browser = not arguments or arguments[0] in {"--quick", "pages"}
    setup(development=in_browser)
    if in_browser:
        need_browser(PYTHON)
    become([PYTHON, "-m", "bench", *arguments])


def pytest_command(*arguments: str, everything: bool) -> list[str | Path]:
    """The command that runs the tests; everything: those that need more as well.

    Without a path of tests among the arguments it is the whole suite, which processes share.
    """
    # An empty -m takes back the selection in pyproject.toml.
    selection = ["-m", ""] if everything else []
    paths = ((ROOT / argument.partition("::")[0]).resolve() for argument in arguments)
    whole = not any(path.is_relative_to(TESTS) for path in paths)
    return [PYTHON, "-m", "pytest", *selection, *(SHARED if whole else []), *arguments]


def _lock(lock: Path, *sources: str) -> None:
    print(f"Locking {lock.name}", flush=True)
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade"]
    output = ["--no-header", "--quiet", "--output-file", lock.name]
    if call([BIN / "uv", "pip", "compile", *options, *output, *sources]) != 0:
        raise Refusal(f"{lock.name} could not be made; what uv said is above.")


def _need_for_tests() -> None:
    """What the tests need besides Python: a browser, and curl for the examples of the documents."""
    need_browser(PYTHON)
    if shutil.which("curl") is None:
        debian.need("curl")


def _refuse(arguments: list[str]) -> None:
    if arguments:
        raise Refusal(f"This command takes no arguments: {' '.join(arguments)}")


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "setup": setup_command,
    "run": run_command,
    "test": test_command,
    "check": check_command,
    "lock": lock_command,
    "bench": bench_command,
}

TESTS = ROOT / "tests"

# How several processes share the tests; tests/sharing.py says how many, and what stays together.
# One that dies is not replaced: what it ran has failed, and that is to be known at once.
SHARED = ["--numprocesses=auto", "--dist=loadscope", "--max-worker-restart=0"]

CHECKS: dict[str, list[str | Path]] = {
    "style": [BIN / "ruff", "check"],
    "format": [BIN / "ruff", "format", "--check"],
    "types": [BIN / "mypy"],
    "imports": [BIN / "lint-imports", "--no-logo"],
    "links": [PYTHON, "-m", "tools.links"],
    "vendored files": [PYTHON, "-m", "tools.vendored"],
    "tests": pytest_command(everything=True),
}


def usage() -> str:
    """What `./dev` says about itself."""
    commands = (f"  {name:6}  {command.__doc__}" for name, command in COMMANDS.items())
    return "\n".join(["usage: ./dev COMMAND [ARGUMENT...]", "", *commands])


def main(arguments: list[str]) -> int:
    """Carry out one command line; returns the exit code."""
    name = arguments[0] if arguments else "help"
    if name in {"help", "-h", "--help"}:
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"dev: there is no command {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[name](arguments[1:])
    except Refusal as refusal:
        print(f"dev: {refusal}", file=sys.stderr)
        return 1
