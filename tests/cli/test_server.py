"""serve and check: what they say when something is wrong, in a line and not a traceback."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import RUNWIRE, Server, clean_environment
from tests.patience import PATIENCE_S
from tools.base import ROOT

MISTAKES = """
[jobs.a]
comand = ["true"]
timeout = "soon"
"""


def runwire(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """One command that needs no server."""
    return subprocess.run(
        [RUNWIRE, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=PATIENCE_S,
        check=False,
    )


def test_check_tells_every_mistake_with_file_line_job_and_key(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(MISTAKES, encoding="utf-8")
    done = runwire("check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    told = done.stderr.splitlines()
    assert any("jobs.toml:3: job a: key comand" in line and '"command"' in line for line in told)
    assert any("jobs.toml:4: job a: key timeout" in line for line in told)


def test_check_json_has_the_same_lines(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(MISTAKES, encoding="utf-8")
    plain = runwire("check", "my.toml", cwd=tmp_path)
    done = runwire("check", "--json", "my.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (78, "")
    found = msgspec.json.decode(done.stdout)
    assert found["mistakes"] == plain.stderr.splitlines()
    assert found["warnings"] == []


def test_check_of_a_good_file_is_code_0(tmp_path: Path) -> None:
    done = runwire("check", str(ROOT / "jobs.toml"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("jobs.toml: 5 jobs, no mistakes\n")


def test_check_of_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    done = runwire("check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "jobs.toml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--config", "missing.toml"], 78, "missing.toml: cannot be read"),
        (["--config", "bad.toml"], 78, 'did you mean "command"?'),
        (["--bind", "nonsense"], 65, "bind: "),
        (["--bind", "0.0.0.0:0", "--dev"], 65, "bind: --dev"),
        (["--state-dir", "bad.toml"], 73, "bad.toml"),
    ],
)
def test_serve_says_what_keeps_it_from_starting(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    (tmp_path / "bad.toml").write_text(MISTAKES, encoding="utf-8")
    defaults = ["--bind", "127.0.0.1:0", "--state-dir", "s"]
    done = runwire("serve", *defaults, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_server_on_a_state_directory_is_one_line(server: Server, tmp_path: Path) -> None:
    state = str(server.state)
    done = runwire("serve", "--bind", "127.0.0.1:0", "--state-dir", state, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (73, "", 1)
    assert server.process is not None
    assert str(server.process.pid) in done.stderr


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        done = runwire("serve", "--bind", bind, "--state-dir", "s", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (73, "", 1)
    assert bind in done.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_takes_the_jobs_toml_here_and_ends_cleanly(
    tmp_path: Path, how: signal.Signals
) -> None:
    server = Server(tmp_path)
    shutil.copy(tmp_path / "jobs.toml", tmp_path / "other.toml")
    process = subprocess.Popen(
        [RUNWIRE, "serve", "--bind", "127.0.0.1:0", "--state-dir", "s"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        assert "greet" in server.output("jobs")
        process.send_signal(how)
        rest, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in error
