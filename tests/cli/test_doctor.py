"""doctor: what the machine allows, what is in the way, and that it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from supervisor.checkup import Finding, Level
from supervisor.processes.cgroup import Cgroups, open_cgroups
from supervisor.processes.controllers import lacking
from tests.cli.conftest import RUNWIRE, Server, clean_environment
from tests.patience import PATIENCE_S


class Findings(msgspec.Struct, frozen=True):
    """What `doctor --json` prints."""

    findings: tuple[Finding, ...]

    def __getitem__(self, subject: str) -> Finding:
        return next(it for it in self.findings if it.subject == subject)


def doctor(
    cwd: Path, *arguments: str, through: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """One examination; `through` is what starts it."""
    return subprocess.run(
        [*through, RUNWIRE, "doctor", "--state-dir", "s", "--bind", "127.0.0.1:0", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=PATIENCE_S,
        check=False,
    )


def found(cwd: Path, *arguments: str, through: Sequence[str] = (), code: int = 0) -> Findings:
    """What it finds; it has to end with that code."""
    done = doctor(cwd, "--json", *arguments, through=through)
    assert (done.returncode, done.stderr) == (code, "")
    return msgspec.json.decode(done.stdout, type=Findings)


def test_where_nothing_runs_it_tells_what_a_server_could_do_and_makes_nothing(
    tmp_path: Path,
) -> None:
    done = doctor(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "process tracking:" in done.stdout
    assert f"none runs at {tmp_path}/s/runwire.sock" in done.stdout
    assert "127.0.0.1:0 is free" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_best_means_are_told_or_why_they_are_not_to_be_had(tmp_path: Path) -> None:
    groups = open_cgroups("tests-of-doctor")
    told = found(tmp_path)["process tracking"]
    if isinstance(groups, Cgroups):
        groups.tidy()
        assert told.level is Level.OK
        assert told.text.startswith("cgroup: ")
        assert not list(groups.path.parent.glob("runwire-doctor-*"))
    else:
        assert told == Finding("process tracking", Level.WARNING, f"subreaper, as {groups}")


def test_the_limits_that_runs_can_have_are_told_and_nothing_is_switched_on(tmp_path: Path) -> None:
    groups = open_cgroups("tests-of-doctor")
    if isinstance(groups, str):
        told = found(tmp_path)["limits"]
        assert (told.level, groups in told.text) == (Level.WARNING, True)
        return
    above = groups.path.parent
    groups.tidy()
    before = (above / "cgroup.subtree_control").read_text()
    told = found(tmp_path)["limits"]
    lacked = lacking(above)
    assert told.level is (Level.WARNING if lacked else Level.OK)
    assert all(name in told.text for name in lacked)
    assert (above / "cgroup.subtree_control").read_text() == before


def test_less_than_could_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text('[supervisor]\nprocess_tracking = "group"\n')
    told = found(tmp_path)["process tracking"]
    assert told.level is Level.WARNING
    assert told.text.startswith("group, as jobs.toml says; ")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take the file system away")
def test_what_is_asked_for_and_not_to_be_had_is_a_failure(tmp_path: Path) -> None:
    """A server would not start."""
    (tmp_path / "jobs.toml").write_text('[supervisor]\nprocess_tracking = "cgroup"\n')
    hidden = "for at in $(grep ' cgroup2 ' /proc/mounts | cut -d' ' -f2); do umount -l $at; done"
    through = ["unshare", "--mount", "sh", "-c", f'{hidden}; exec "$@"', "sh"]
    told = found(tmp_path, through=through, code=1)["process tracking"]
    assert told.level is Level.FAILURE
    assert told.text.endswith("no cgroup v2 file system is mounted")


def test_a_server_that_runs_is_asked(server: Server) -> None:
    done = subprocess.run(
        [RUNWIRE, "doctor", "--state-dir", "s"],
        cwd=server.directory,
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"one runs at {server.socket}; it tracks processes by " in done.stdout
    assert "address:" not in done.stdout


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_journal_is_read_and_left_as_it_is(own_server: Server, how: signal.Signals) -> None:
    own_server.output("run", "greet")
    own_server.stop(how)
    before = {path.name: path.read_bytes() for path in own_server.state.glob("journal.db*")}
    told = found(own_server.directory)["journal"]
    assert (told.level, told.text) == (Level.OK, f"{own_server.state}/journal.db is whole")
    after = {path.name: path.read_bytes() for path in own_server.state.glob("journal.db*")}
    assert {name: data for name, data in after.items() if not name.endswith("-shm")} == {
        name: data for name, data in before.items() if not name.endswith("-shm")
    }


def test_a_journal_that_is_damaged_or_gone_is_a_failure(own_server: Server) -> None:
    """A server would not start."""
    own_server.output("run", "greet")
    own_server.stop()
    journal = own_server.state / "journal.db"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:4096] + b"#" * (len(whole) - 4096))
    told = found(own_server.directory, code=1)["journal"]
    assert told.level is Level.FAILURE
    assert "the journal is damaged" in told.text
    journal.unlink()
    told = found(own_server.directory, code=1)["journal"]
    assert told.level is Level.FAILURE
    assert told.text.startswith(f"{journal} is missing, but ")
    journal.write_bytes(whole)


def test_logs_that_a_journal_does_not_know_are_told(own_server: Server) -> None:
    """It was put back from before they were written."""
    journal = own_server.state / "journal.db"
    own_server.output("run", "--id", "known", "greet")
    own_server.stop()
    older = journal.read_bytes()
    own_server.start()
    own_server.output("run", "--id", "forgotten", "greet")
    own_server.stop()
    journal.write_bytes(older)
    told = found(own_server.directory)["logs"]
    assert told.level is Level.WARNING
    assert told.text.startswith("of no run that the journal knows: 1, such as forgotten")


def test_mistakes_in_the_configuration_are_failures(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text("[jobs.a]\ncomand = []\n")
    told = found(tmp_path, code=1)
    assert told["configuration"].level is Level.FAILURE
    lines = [it.text for it in told.findings if it.subject == "configuration"]
    assert any('did you mean "command"?' in line for line in lines)


def test_an_address_in_use_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        told = found(tmp_path, "--bind", bind, code=1)
    assert told["address"] == Finding(
        "address", Level.FAILURE, f"{bind} cannot be had: Address already in use"
    )


def test_a_state_directory_that_is_none_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    told = found(tmp_path, code=1)
    assert told["state directory"].text == f"{tmp_path}/s is no directory"


def test_a_state_directory_that_others_may_write_is_told(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)
    told = found(tmp_path)["state directory"]
    assert (told.level, told.text) == (
        Level.WARNING,
        f"{tmp_path}/s can be written by others (mode 777)",
    )


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit sets the limits")
@pytest.mark.parametrize(("limit", "level", "code"), [(70, "failure", 1), (100, "warning", 0)])
def test_too_few_open_files_are_told(tmp_path: Path, limit: int, level: str, code: int) -> None:
    (tmp_path / "jobs.toml").write_text("[supervisor]\nmax_running = 8\n")
    through = ["prlimit", f"--nofile={limit}:{limit}"]
    assert found(tmp_path, through=through, code=code)["open files"].level == level


def test_a_clock_that_was_set_back_is_told(tmp_path: Path) -> None:
    journal = tmp_path / "s" / "journal.db"
    journal.parent.mkdir(mode=0o700)
    journal.touch()
    assert found(tmp_path)["clock"].level is Level.OK
    later = journal.stat().st_mtime + 3600
    os.utime(journal, (later, later))
    told = found(tmp_path)["clock"]
    assert told.level is Level.WARNING
    assert "the clock was set back" in told.text
