"""The state directory: made for its owner, held by one server, never mistaken for a new one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.errors import StateDirError
from supervisor.journal.schema import open_database
from supervisor.statedir import open_state_dir

TOP = Path(__file__).parents[1]

HOLDER = """
import sys
from pathlib import Path
from supervisor.statedir import open_state_dir
with open_state_dir(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the directory until its stdin ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


def test_it_is_made_for_its_owner_alone(path: Path) -> None:
    with open_state_dir(path) as state:
        assert state.path == path
        assert [mode(made) for made in (path, state.logs)] == [0o700, 0o700]
        assert {mode(path / name) for name in ("lock", "instance")} == {0o600}


def test_it_says_where_everything_is(path: Path) -> None:
    with open_state_dir(path) as state:
        places = (state.journal, state.logs, state.socket)
    assert places == (path / "journal.db", path / "logs", path / "runwire.sock")


def test_a_relative_path_stays_right_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_state_dir(Path("state")) as state:
        assert state.path == tmp_path / "state"


def test_a_directory_that_is_there_keeps_its_mode(path: Path) -> None:
    path.mkdir(parents=True)
    path.chmod(0o750)
    with open_state_dir(path):
        assert mode(path) == 0o750


def test_the_instance_is_made_once_and_is_its_own(path: Path, tmp_path: Path) -> None:
    with open_state_dir(path) as first:
        pass
    with open_state_dir(path) as second, open_state_dir(tmp_path / "other") as other:
        assert second == first
        assert other.instance != first.instance
    assert re.fullmatch("[0-9a-f]{16}", first.instance)


def test_a_copy_has_an_instance_of_its_own(path: Path, tmp_path: Path) -> None:
    """Or a server on a backup would take the processes of the other one's runs for its own."""
    with open_state_dir(path) as first:
        pass
    shutil.copytree(path, tmp_path / "copy", ignore=shutil.ignore_patterns("lock"))
    with open_state_dir(tmp_path / "copy") as copy:
        assert copy.instance != first.instance
    with open_state_dir(tmp_path / "copy") as again, open_state_dir(path) as same:
        assert (again, same) == (copy, first)
    path.rename(tmp_path / "moved")
    with open_state_dir(tmp_path / "moved") as moved:
        assert moved.instance == first.instance


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0123", b"0123456789abcdef0", b"g" * 16])
def test_a_damaged_instance_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    """With another one, the processes of earlier runs would not be known again."""
    path.mkdir(parents=True)
    (path / "instance").write_bytes(content)
    with pytest.raises(StateDirError, match="instance is damaged"), open_state_dir(path):
        pass
    assert (path / "instance").read_bytes() == content


def test_a_crash_while_the_instance_was_written_does_no_harm(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "instance.new").write_bytes(b"01234")
    with open_state_dir(path) as state:
        assert re.fullmatch("[0-9a-f]{16}", state.instance)


class TestTheLock:
    """One server for one state directory, and no lock left over after any kind of end."""

    def test_a_second_server_is_told_who_holds_it(self, path: Path) -> None:
        holder = start_holder(path)
        try:
            with pytest.raises(StateDirError) as refusal, open_state_dir(path):
                pass
        finally:
            holder.communicate("")
        message = refusal.value.message
        assert message == f"state directory {path} is in use by another server (pid {holder.pid})"
        assert "\n" not in message

    def test_a_refused_server_leaves_the_lock_as_it_was(self, path: Path) -> None:
        holder = start_holder(path)
        try:
            for _ in range(2):
                with pytest.raises(StateDirError, match=str(holder.pid)), open_state_dir(path):
                    pass
        finally:
            holder.communicate("")

    @pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
    def test_it_is_free_after_the_holder_ended_however(
        self, path: Path, end: signal.Signals
    ) -> None:
        holder = start_holder(path)
        holder.send_signal(end)
        holder.communicate()
        with open_state_dir(path):
            assert (path / "lock").read_text() == f"{os.getpid()}\n"

    def test_it_is_free_after_a_failure_inside(self, path: Path) -> None:
        with pytest.raises(ZeroDivisionError), open_state_dir(path):
            raise ZeroDivisionError
        (path / "instance").write_bytes(b"damaged")
        with pytest.raises(StateDirError, match="damaged"), open_state_dir(path):
            pass
        (path / "instance").unlink()
        with open_state_dir(path):
            pass

    def test_a_child_process_does_not_keep_it(self, path: Path) -> None:
        """Or a job that outlives its server would lock the next one out."""
        with open_state_dir(path):
            child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
        try:
            with open_state_dir(path):
                pass
        finally:
            child.communicate()


def test_logs_without_a_journal_are_refused(path: Path) -> None:
    """A new journal beside them would silently forget the runs that they belong to."""
    with open_state_dir(path) as state:
        (state.logs / "r1.log").touch()
    with pytest.raises(StateDirError, match=r"journal\.db is missing"), open_state_dir(path):
        pass
    state.journal.touch()
    with pytest.raises(StateDirError, match=r"journal\.db is empty"), open_state_dir(path):
        pass
    open_database(state.journal).close()
    with open_state_dir(path):
        pass


@pytest.mark.parametrize("there", ["state", "deep"])
def test_a_file_in_its_place_is_refused(path: Path, there: str) -> None:
    obstacle = path if there == "state" else path.parent
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.write_text("a file\n")
    with pytest.raises(StateDirError) as refusal, open_state_dir(path):
        pass
    assert str(path) in refusal.value.message
    assert "\n" not in refusal.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    path.chmod(0o500)
    with pytest.raises(StateDirError, match="Permission denied"), open_state_dir(path):
        pass
