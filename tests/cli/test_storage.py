"""A whole server whose storage fails: nothing is lost in silence, nothing invented, all of it told."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.log.logfile import log_path
from supervisor.model import Reason, Status
from supervisor.testing import wait_until
from supervisor.wire import Readiness, RunList
from tests.cli.conftest import RUNWIRE, Server, clean_environment, read_all, serving
from tests.injecting import failing
from tests.patience import PATIENCE_S

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may have storage fail"),
]

# More than its pipe and the server's own buffers hold.
MUCH = 300_000
GATED = (
    "echo first; until [ -e go ]; do sleep 0.02; done; "
    f"head -c {MUCH} /dev/zero | tr '\\0' x; echo; exit 3"
)
WHOLE = b"first\n" + b"x" * MUCH + b"\n"
EIO = "Input/output error"


def problems(server: Server) -> tuple[str, ...]:
    """What keeps it from its work."""
    return tuple(msgspec.json.decode(server.get("/readyz"), type=Readiness).problems)


async def begun(server: Server) -> str:
    """A run that has written its first line and waits for the file `go`."""
    run_id = server.submit("--shell", GATED)
    await wait_until(lambda: server.run_view(run_id).log.size == len("first\n"))
    return run_id


async def let_end(server: Server, run_id: str) -> None:
    (server.directory / "go").touch()
    await wait_until(lambda: server.run_view(run_id).status.ended)


def pid_of(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


async def test_a_log_that_cannot_be_written_makes_its_run_wait_and_no_other(
    own_server: Server,
) -> None:
    server = own_server
    with trio.fail_after(PATIENCE_S):
        run_id = await begun(server)
        log = log_path(server.state / "logs", run_id)
        with failing(pid_of(server), "splice,pwrite64,ftruncate", log):
            (server.directory / "go").touch()
            await wait_until(lambda: problems(server) != ())
            assert problems(server) == (f"the log of run {run_id} cannot be written: {EIO}",)
            assert server.output("run", "greet") == "world 1\n"
            assert server.run_view(run_id).status is Status.RUNNING
            assert server.output("logs", run_id) == "first\n"
        await let_end(server, run_id)
    assert server.run_view(run_id).exit_code == 3
    assert server.run("logs", run_id).stdout == WHOLE
    assert problems(server) == ()


async def test_a_log_that_cannot_be_synced_is_told_and_keeps_nobody_waiting(
    own_server: Server,
) -> None:
    """Nobody can say what of it is on disk; its bytes are there for whoever reads them."""
    server = own_server
    with trio.fail_after(PATIENCE_S):
        run_id = server.submit("--shell", "until [ -e go ]; do echo x; sleep 0.02; done; exit 3")
        await wait_until(lambda: server.run_view(run_id).log.size > 0)
        log = log_path(server.state / "logs", run_id)
        with failing(pid_of(server), "fdatasync", log):
            await wait_until(lambda: problems(server) != ())
            assert problems(server) == (f"the log of run {run_id} cannot be synced: {EIO}",)
            assert server.get("/healthz") == b'{"status":"ok"}'
            await let_end(server, run_id)
            ended = server.run_view(run_id)
            assert ended.exit_code == 3
            assert len(server.run("logs", run_id).stdout) == ended.log.size
    assert problems(server) == ()


async def test_a_journal_that_cannot_be_written_refuses_and_records_later(
    own_server: Server,
) -> None:
    server = own_server
    with trio.fail_after(PATIENCE_S):
        run_id = await begun(server)
        with failing(pid_of(server), "pwrite64", server.state / "journal.db-wal"):
            refused = server.run("submit", "--id", "refused", "greet")
            assert refused.returncode == 75
            assert b"the journal cannot be written: disk I/O error" in refused.stderr
            (server.directory / "go").touch()
            await wait_until(lambda: server.run("logs", run_id).stdout == WHOLE)
            assert server.run_view(run_id).status is Status.RUNNING
            assert any("journal" in problem for problem in problems(server))
            assert server.get("/healthz") == b'{"status":"ok"}'
        await let_end(server, run_id)
    assert server.run_view(run_id).exit_code == 3
    assert [run.id for run in server.json(RunList, "list", "--json").runs] == [run_id]
    assert problems(server) == ()


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
async def test_killed_while_the_journal_fails_it_says_what_it_knows(
    own_server: Server, call: str
) -> None:
    """What was refused because it could not be synced may be there after all; it is true even so.

    Who was refused may ask again under the same id: there is one run of it in the end.
    """
    server = own_server
    with trio.fail_after(PATIENCE_S):
        run_id = await begun(server)
        with failing(pid_of(server), call, server.state / "journal.db-wal"):
            assert server.run("submit", "--id", "refused", "greet").returncode == 75
            (server.directory / "go").touch()
            await wait_until(lambda: server.run("logs", run_id).stdout == WHOLE)
            server.stop(signal.SIGKILL)
        server.start()
        await let_end(server, run_id)
        ended = server.run_view(run_id)
        assert ended.status is Status.FAILED
        assert ended.reason is Reason.LOST or (call == "fdatasync" and ended.exit_code == 3)
        assert server.run("logs", run_id).stdout == WHOLE
        assert server.run("run", "--id", "refused", "greet").stdout == b"world 1\n"
    assert len(server.json(RunList, "list", "--json").runs) == 2


async def test_a_log_that_cannot_be_read_is_said_to_its_readers_alone(own_server: Server) -> None:
    """Who follows it goes on when it can be read again, with nothing lost or doubled."""
    server = own_server
    with trio.fail_after(PATIENCE_S):
        run_id = await begun(server)
        log = log_path(server.state / "logs", run_id)
        async with server.running("logs", "-f", run_id) as follower:
            with failing(pid_of(server), "pread64", log):
                done = server.run("logs", run_id)
                assert (done.returncode, done.stdout) == (75, b"")
                assert EIO.encode() in done.stderr
                assert server.output("run", "greet") == "world 1\n"
                (server.directory / "go").touch()
                await wait_until(lambda: server.run_view(run_id).status.ended)
            assert await read_all(follower.stdout) == WHOLE
    assert server.run("logs", run_id).stdout == WHOLE


# --- a file system that turns read-only ------------------------------------------------------------


@contextmanager
def ext4(image: Path, at: Path) -> Iterator[Path]:
    """A file system that turns read-only when something is written to the file it gives."""
    mount = ["mount", "-o", "loop,errors=remount-ro", str(image), str(at)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount an image")
    try:
        loop = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", str(at)], capture_output=True, text=True, check=True
        )
        yield Path("/sys/fs/ext4") / Path(loop.stdout.strip()).name / "trigger_fs_error"
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image"
    file.touch()
    os.truncate(file, 32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(file)], check=True)
    return file


async def test_a_file_system_that_turns_read_only_is_told_and_left(
    image: Path, tmp_path: Path
) -> None:
    """As the kernel does with one that is damaged. Told to stop, the server does not wait for ever."""
    place = tmp_path / "disk"
    place.mkdir()
    with trio.fail_after(PATIENCE_S):
        with ext4(image, place) as fault:
            server = Server(place)
            server.start()
            run_id = await begun(server)
            ended = server.submit("greet")
            await wait_until(lambda: server.run_view(ended).status.ended)
            fault.write_text("of a test")
            await wait_until(lambda: problems(server) != ())
            assert server.run("submit", "greet").returncode == 75
            assert server.output("logs", run_id) == "first\n"
            told = server.run("doctor", "--state-dir", "s")
            assert told.returncode == 1
            assert b"s cannot be used: Read-only file system" in told.stdout
            process = server.process
            assert process is not None
            server.stop()
            assert process.returncode == 75
            again = subprocess.run(
                [RUNWIRE, "serve", "--bind", "127.0.0.1:0", "--state-dir", "s"],
                cwd=place,
                capture_output=True,
                text=True,
                env=clean_environment(),
                check=False,
            )
            assert again.returncode == 73
            assert "Read-only file system" in again.stderr
        with ext4(image, place), serving(Server(place)) as server:
            await wait_until(lambda: server.run_view(run_id).status.ended)
            lost = server.run_view(run_id)
            assert (lost.status, lost.reason) == (Status.FAILED, Reason.LOST)
            assert server.run_view(ended).status is Status.SUCCEEDED
            assert server.output("logs", ended) == "world 1\n"
