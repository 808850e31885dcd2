"""The command line as a whole: what it documents, imports and does with its own faults."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from pathlib import Path

import click
import pytest

from supervisor.cli.exitcodes import ExitCode
from supervisor.cli.main import Commands, commands
from tests.cli.conftest import RUNWIRE, Server, clean_environment
from tests.patience import PATIENCE_S
from tools.base import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(
    re.findall(r"^## `runwire ([a-z-]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
)
SERVER_OPTIONS = {"--url", "--socket", "--token", "--token-file"}
NEED_NO_SERVER = {
    "serve",
    "check",
    "doctor",
    "completion",
    "backup",
    "restore",
    "install-service",
    "uninstall-service",
}
NAMES = commands.list_commands(click.Context(commands))


def command(name: str) -> click.Command:
    """The command of that name."""
    assert isinstance(commands, Commands)
    found = commands.get_command(click.Context(commands), name)
    assert found is not None
    return found


def with_subcommands(found: click.Command) -> list[click.Command]:
    """The command, or if it only groups others, those."""
    return list(found.commands.values()) if isinstance(found, click.Group) else [found]


def runwire(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command that needs no server."""
    return subprocess.run(
        [RUNWIRE, *arguments],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_page_has_a_section_for_each_command_and_no_other() -> None:
    assert list(SECTIONS) == NAMES
    assert [name for name in NAMES if f"[`{name}`](#runwire-{name})" not in PAGE] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_section_tells_every_option_and_no_other(name: str) -> None:
    options = {
        spelling
        for each in with_subcommands(command(name))
        for parameter in each.params
        if isinstance(parameter, click.Option)
        for spelling in parameter.opts
    }
    cells = re.findall(r"^\| (`-[^|]*) \|", SECTIONS[name], re.MULTILINE)
    told = {spelling for cell in cells for spelling in re.findall(r"(?<![\w-])--?[A-Za-z-]+", cell)}
    assert told == options - SERVER_OPTIONS


def test_the_options_that_find_the_server_are_those_of_every_command_that_asks_it() -> None:
    for name in set(NAMES) - NEED_NO_SERVER:
        for each in with_subcommands(command(name)):
            spellings = {spelling for parameter in each.params for spelling in parameter.opts}
            assert spellings >= SERVER_OPTIONS or each.name == "inspect"
    assert all(f"`{option} " in PAGE for option in SERVER_OPTIONS)


def test_every_exit_code_is_told() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == {*ExitCode}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_has_a_help(name: str) -> None:
    assert command(name).help
    for found in with_subcommands(command(name)):
        assert found.help
        assert [p.name for p in found.params if isinstance(p, click.Option) and not p.help] == []


@pytest.mark.parametrize(
    ("module", "not_imported"),
    [
        ("supervisor.cli.main", {"trio", "rich", "http.client", "supervisor.wire.RunView"}),
        ("supervisor.cli.runs", {"trio", "rich", "tomllib", "sqlite3", "quart"}),
        ("supervisor.cli.streams", {"rich", "tomllib", "sqlite3", "quart"}),
    ],
)
def test_a_command_imports_only_what_it_uses(module: str, not_imported: set[str]) -> None:
    """`list` should take no longer to start than to answer."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not_imported.isdisjoint(done.stdout.split())


def test_version_and_help_are_told() -> None:
    assert re.fullmatch(r"runwire, version \d+\.\d+\.\d+\n", runwire("--version").stdout)
    shown = runwire("--help").stdout
    assert [name for name in NAMES if f"  {name} " not in shown] == []
    assert "JOB | -- COMMAND..." in runwire("run", "-h").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["lst"], "No such command"), (["list", "--nope"], "No such option"), (["show"], "Missing")],
)
def test_a_wrong_command_line_is_code_2(arguments: list[str], said: str) -> None:
    done = runwire(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_bug_is_code_70_with_its_traceback() -> None:
    code = (
        "import supervisor.cli.runs as r; from supervisor.cli import main as cli; r.Client = None;"
        "cli.main(['jobs', '--socket', '/x'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "TypeError" in done.stderr


def test_a_reader_that_goes_away_is_quiet(server: Server) -> None:
    for word in ("one", "two", "three"):
        server.submit("--", word * 10_000)
    line = '"$0" list --json | head -c 10; echo " ${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", line, RUNWIRE],
        env=server.environment,
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b'{"runs":[{ 141\n', b"")


def test_output_that_cannot_be_written_is_code_74(server: Server) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [RUNWIRE, "jobs"],
            env=server.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (74, b"runwire: No space left on device\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    script = runwire("completion", shell).stdout
    assert "_RUNWIRE_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert runwire("completion", "tcsh").returncode == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("runwire li", {"list"}),
        ("runwire submit gr", {"greet"}),
        ("runwire jobs bo", {"both"}),
        ("runwire show NAME", {"NAME-1", "NAME-2"}),
        ("runwire cancel NAME-1 NAME-2 NAME-", {"NAME-1", "NAME-2"}),
        ("runwire list --status f", {"failed"}),
    ],
)
def test_the_shell_completes_commands_jobs_and_runs(
    server: Server, line: str, expected: set[str]
) -> None:
    name = f"completed{secrets.token_hex(4)}"  # only of the newest runs some are offered
    for number in (1, 2):
        server.submit("--id", f"{name}-{number}", "--", "true")
    line = line.replace("NAME", name)
    last = str(len(line.split()) - 1)
    for _ in range(5):  # a busy server is not waited for as long as it may need
        done = server.run(_RUNWIRE_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=last)
        if done.stdout:
            break
    offered = {row.partition(",")[2] for row in done.stdout.decode().splitlines()}
    assert offered == {word.replace("NAME", name) for word in expected}


def test_completion_without_a_server_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    environment = clean_environment() | {
        "RUNWIRE_SOCKET": str(tmp_path / "no.sock"),
        "_RUNWIRE_COMPLETE": "bash_complete",
        "COMP_WORDS": "runwire submit ",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [RUNWIRE], env=environment, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (b"", b"")
