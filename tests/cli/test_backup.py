"""backup and restore on the command line, beside a server and without one."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.model import Reason, Status
from supervisor.wire import RunList
from tests.cli.conftest import Server, serving

SECRET = "0123456789abcdef0123456789abcdef"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def backup(server: Server, name: str = "b") -> Path:
    """A new backup of the server's state."""
    done = server.run("backup", "--state-dir", "s", name)
    assert done.returncode == 0, done.stderr
    return server.directory / name


def restored(server: Server, directory: Path, source: Path) -> Server:
    """A server on what was restored, not yet at work."""
    directory.mkdir()
    other = Server(directory)
    done = other.run("restore", "--state-dir", "s", str(source))
    assert done.returncode == 0, done.stderr
    return other


def refusal(server: Server, *arguments: str) -> str:
    """The one line that says why it was refused, as what contradicts what is."""
    done = server.run(*arguments)
    assert done.returncode == 73, done
    assert done.stderr.count(b"\n") == 1
    return done.stderr.decode()


def test_a_working_servers_state_goes_on_elsewhere(own_server: Server, tmp_path: Path) -> None:
    """Ended runs as they were; the one that runs is lost there, and runs on here untouched."""
    ended = own_server.submit("both", "--id", "ended")
    assert own_server.run("logs", "-f", ended).returncode == 0
    going_on = own_server.submit("--shell", "echo begun; exec sleep 300", "--id", "going-on")
    while not own_server.output("logs", going_on):
        pass
    token = own_server.output("token", "create", "--scope", "runs:read").strip()
    made = backup(own_server)
    pid = own_server.run_view(going_on).pid
    with serving(restored(own_server, tmp_path / "other", made)) as other:
        assert other.run("logs", "-f", going_on).stdout == b"begun\n"
        runs = {run.id: run for run in other.json(RunList, "list", "--json").runs}
        assert set(runs) == {ended, going_on}
        assert runs[ended] == own_server.run_view(ended)
        for stream in ("stdout", "stderr"):
            there, here = (
                it.output("logs", "--stream", stream, ended) for it in (other, own_server)
            )
            assert there == here != ""
        lost = runs[going_on]
        assert (lost.status, lost.reason, lost.killed) == (Status.FAILED, Reason.LOST, ())
        listed = other.run("list", "--url", other.url, RUNWIRE_SOCKET="", RUNWIRE_TOKEN=token)
        assert listed.returncode == 0, listed.stderr
    assert pid is not None
    os.kill(pid, 0)
    assert own_server.run_view(going_on).status is Status.RUNNING
    own_server.output("cancel", "--wait", going_on)


def test_a_backup_is_for_its_owner_alone(own_server: Server) -> None:
    own_server.submit("both")
    (own_server.directory / "open").mkdir(mode=0o755)
    made = backup(own_server, "open")
    assert (made / "token.key").read_bytes() == (own_server.state / "token.key").read_bytes()
    assert {mode(path) for path in made.rglob("*") if path.is_file()} == {0o600}
    assert {mode(path) for path in (made, made / "logs")} == {0o700}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_needs_no_server(own_server: Server, tmp_path: Path, how: signal.Signals) -> None:
    """After a kill, what was committed last is still in another file than the journal."""
    own_server.run("run", "both", "--id", "ended")
    own_server.stop(how)
    made = backup(own_server)
    with serving(restored(own_server, tmp_path / "other", made)) as other:
        assert other.run_view("ended").exit_code == 3
        assert sorted(other.output("logs", "ended").split()) == ["err", "out"]


def test_what_it_says(own_server: Server) -> None:
    own_server.run("run", "both")
    done = own_server.run("backup", "--state-dir", "s", "b")
    assert done.stderr.startswith(b"runwire: backed up to b: 1 run, 0.0 MiB of logs, 20")
    assert (
        b'"log_bytes":8' in own_server.output("backup", "--state-dir", "s", "c", "--json").encode()
    )


class TestRefusals:
    """Nothing is overwritten that somebody may want, and nothing is restored by halves."""

    def test_a_destination_that_is_not_empty(self, own_server: Server) -> None:
        made = backup(own_server)
        before = sorted(made.rglob("*"))
        assert "is not empty" in refusal(own_server, "backup", "--state-dir", "s", "b")
        assert sorted(made.rglob("*")) == before

    def test_no_journal(self, own_server: Server) -> None:
        said = refusal(own_server, "backup", "--state-dir", "nowhere", "b")
        assert "there is no journal" in said
        assert not (own_server.directory / "nowhere").exists()

    def test_a_server_at_work(self, own_server: Server) -> None:
        made = backup(own_server)
        said = refusal(own_server, "restore", "--replace", "--state-dir", "s", str(made))
        assert own_server.process is not None
        assert f"in use by another server (pid {own_server.process.pid})" in said

    def test_a_state_that_is_there(self, own_server: Server) -> None:
        made = backup(own_server)
        own_server.stop()
        said = refusal(own_server, "restore", "--state-dir", "s", str(made))
        assert "holds a state already" in said
        assert "--replace" in said

    def test_a_backup_that_was_not_finished(self, own_server: Server) -> None:
        made = backup(own_server)
        (made / "backup.json").unlink()
        assert "not finished" in refusal(own_server, "restore", "--state-dir", "t", str(made))

    def test_a_backup_whose_journal_is_damaged(self, own_server: Server) -> None:
        own_server.submit("both")
        made = backup(own_server)
        with (made / "journal.db").open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 8192)
        assert "damaged" in refusal(own_server, "restore", "--state-dir", "t", str(made))
        assert not (own_server.directory / "t" / "journal.db").exists()

    def test_a_backup_of_a_newer_release(self, own_server: Server) -> None:
        made = backup(own_server)
        with closing(sqlite3.connect(made / "journal.db")) as database:
            database.execute("PRAGMA user_version = 1000")
        assert "a newer Runwire" in refusal(own_server, "restore", "--state-dir", "t", str(made))


def test_what_is_replaced_is_kept_aside(own_server: Server) -> None:
    own_server.run("run", "both", "--id", "before")
    made = backup(own_server)
    own_server.run("run", "both", "--id", "after")
    own_server.stop()
    instance = (own_server.state / "instance").read_bytes()
    assert own_server.run("restore", "--replace", "--state-dir", "s", str(made)).returncode == 0
    (aside,) = own_server.state.glob("replaced-*")
    assert {path.name for path in (aside / "logs").glob("*.log")} == {"before.log", "after.log"}
    assert (own_server.state / "instance").read_bytes() == instance
    own_server.start()
    assert [run.id for run in own_server.json(RunList, "list", "--json").runs] == ["before"]


@pytest.mark.parametrize("put_in_place", [(), ("token.key",), ("token.key", "logs")])
def test_a_restore_that_was_killed_is_noticed_and_can_be_repeated(
    own_server: Server, put_in_place: tuple[str, ...]
) -> None:
    """It is never taken for a new and empty state."""
    own_server.run("run", "both", "--id", "ended")
    made = backup(own_server)
    own_server.stop()
    shutil.rmtree(own_server.state)
    own_server.state.mkdir()
    shutil.copytree(made, own_server.state / "restoring")
    for name in put_in_place:
        (own_server.state / "restoring" / name).rename(own_server.state / name)
    said = refusal(own_server, "serve", "--bind", "127.0.0.1:0", "--state-dir", "s")
    assert "a restore was not finished" in said
    assert own_server.run("restore", "--replace", "--state-dir", "s", str(made)).returncode == 0
    own_server.start()
    assert own_server.run_view("ended").exit_code == 3


def test_an_older_journal_gives_a_new_run_no_log_of_another(own_server: Server) -> None:
    """Put in place by hand, it does not know the run whose log is there."""
    own_server.stop()
    older = (own_server.state / "journal.db").read_bytes()
    own_server.start()
    assert own_server.run("run", "--id", "again", "greet").stdout == b"world 1\n"
    own_server.stop()
    (own_server.state / "journal.db").write_bytes(older)
    own_server.start()
    assert own_server.json(RunList, "list", "--json").runs == ()
    assert own_server.run("run", "--id", "again", "both").returncode == 3
    assert own_server.output("logs", "--stream", "stdout", "again") == "out\n"
    assert (own_server.state / "logs" / "again.log.foreign").read_bytes() == b"world 1\n"


def test_a_log_that_is_cut_is_not_taken_for_whole(own_server: Server) -> None:
    own_server.run("run", "--id", "cut", "greet")
    with (own_server.state / "logs" / "cut.log").open("r+b") as file:
        file.truncate(5)
    done = own_server.run("logs", "-f", "cut")
    assert done.stdout == b"world"
    assert b"3 bytes from offset 5 are not kept" in done.stderr
