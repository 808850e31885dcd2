"""`runwire check`: every mistake and warning of a jobs.toml, and nothing started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from supervisor.cli.server import check


def checked(path: Path, *arguments: str) -> Result:
    """What `runwire check PATH` does."""
    return CliRunner().invoke(check, [str(path), *arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.toml"


def test_a_good_file_is_told_to_be_good(file: Path) -> None:
    file.write_text("[jobs.a]\nshell = 'ls'\n")

    result = checked(file)

    assert result.exit_code == 0
    assert result.output == f"{file}: 1 job, no mistakes\n"


def test_every_mistake_is_a_line_and_the_exit_code_says_that_there_are_some(file: Path) -> None:
    file.write_text("[jobs.a]\nshel = 'ls'\n[jobs.b]\nshell = 5\n")

    result = checked(file)

    assert result.exit_code == 78
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f'{file}:1: job a: needs a command, such as command = ["echo", "hello"], or a shell line',
        f'{file}:2: job a: key shel: there is no such key; did you mean "shell"?',
        f"{file}:4: job b: key shell: must be a string, not 5",
    ]


def test_what_is_odd_or_missing_here_is_a_warning(file: Path) -> None:
    file.write_text("[jobs.a]\ncommand = ['no-such-program', '|', 'x']\n")

    result = checked(file)

    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        (
            f"warning: {file}:2: job a: key command[1]: | is an argument like others: "
            "only a shell line obeys it"
        ),
        f"warning: {file}: job a: key command: there is no program no-such-program here",
    ]


def test_the_same_as_json(file: Path) -> None:
    file.write_text("[jobs.a]\nshell = 5\n")

    result = subprocess.run(
        [sys.executable, "-m", "supervisor", "check", str(file), "--json"],
        capture_output=True,
        check=False,
    )

    assert result.returncode == 78
    assert json.loads(result.stdout) == {
        "mistakes": [f"{file}:2: job a: key shell: must be a string, not 5"],
        "warnings": [],
    }


def test_a_file_that_is_not_there_is_one_line(file: Path) -> None:
    result = checked(file)

    assert result.exit_code == 78
    assert result.stderr == f"{file}: cannot be read: No such file or directory\n"


def test_another_user_needs_root_and_that_is_a_mistake(file: Path) -> None:
    """Whoever checks with fewer rights than the server will have is told so."""
    file.write_text("[jobs.a]\nshell = 'ls'\nuser = 'nobody'\n")
    command = [str(Path(sys.executable).parent / "runwire"), "check", str(file)]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set", "-setuid,-setgid", *command]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 78
    assert done.stderr == (
        f"{file}: job a: key user: a run as another user, or in other groups, can only be started "
        f"by a server that runs as root, and this is user {os.geteuid()}\n"
    )


def test_a_user_who_is_not_here_is_a_warning(file: Path) -> None:
    file.write_text("[jobs.a]\nshell = 'ls'\nuser = 'no-such-user'\n")

    result = checked(file)

    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert 'job a: key user: there is no user "no-such-user" here' in result.stderr
