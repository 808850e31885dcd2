"""A server as process 1 of a container: it reaps what falls to it, and passes on nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.model import Status
from supervisor.processes import procfs
from supervisor.testing import wait_until
from supervisor.wire import RunView
from tests.cli.conftest import RUNWIRE, clean_environment

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a PID namespace"),
    pytest.mark.skipif(shutil.which("nsenter") is None, reason="there is no nsenter"),
]
# Says which signals reach it; not CONT, which is a part of each stop.
LISTENER = (
    'for name in HUP USR1 USR2 WINCH CHLD INT; do trap "echo got $name" $name; done; '
    "trap 'echo got TERM; exit 3' TERM; echo ready; while :; do read -t 0.05 _ <&9; done"
)


class Container:
    """`runwire serve` as process 1 of a PID namespace of its own."""

    def __init__(self, directory: Path, tracking: str) -> None:
        self._directory = directory
        (directory / "jobs.toml").write_text(f'[supervisor]\nprocess_tracking = "{tracking}"\n')
        self.unshare = subprocess.Popen(
            [
                *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
                *(RUNWIRE, "serve", "--bind", "127.0.0.1:0", "--state-dir", "s"),
            ],
            cwd=directory,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        assert self.unshare.stdout is not None
        if not self.unshare.stdout.readline():
            self.unshare.wait()
            pytest.skip("this machine lets nobody make a PID namespace")
        [children] = Path(f"/proc/{self.unshare.pid}/task").iterdir()
        self.pid = int((children / "children").read_text())

    def command(self, *arguments: str) -> str:
        """What a command of ours prints."""
        environment = clean_environment() | {
            "RUNWIRE_SOCKET": str(self._directory / "s/runwire.sock")
        }
        done = subprocess.run(
            [RUNWIRE, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def run(self, run_id: str) -> RunView:
        return msgspec.json.decode(self.command("show", "--json", run_id), type=RunView)

    def enter(self, line: str) -> subprocess.CompletedProcess[str]:
        """Execute a line in it, as `docker exec` does."""
        command = ["nsenter", "-t", str(self.pid), "-p", "-m", "sh", "-c", line]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    def children(self) -> dict[str, bool]:
        """The commands of process 1's children, and whether each is a zombie."""
        stats = (procfs.read_stat(pid) for pid in self._child_pids())
        return {stat.command: stat.zombie for stat in stats if stat is not None}

    def _child_pids(self) -> list[int]:
        found: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
        return found


@pytest.fixture(params=["auto", "subreaper"])
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    made = Container(tmp_path, request.param)
    try:
        yield made
        if made.unshare.poll() is None:
            os.kill(made.pid, signal.SIGTERM)
            made.unshare.wait(120)
    finally:
        made.unshare.kill()
        made.unshare.communicate()


async def test_what_falls_to_it_is_reaped_and_is_no_part_of_a_run(container: Container) -> None:
    with trio.fail_after(300):
        run_id = container.command("submit", "--shell", "exec sleep 600").strip()
        await wait_until(lambda: container.run(run_id).status is Status.RUNNING)
        container.enter("setsid sleep 601 >/dev/null 2>&1 & (sleep 0.1 >/dev/null 2>&1 &)")
        await wait_until(lambda: list(container.children().values()).count(True) == 0)
        container.command("cancel", "--force", "--wait", run_id)
        ended = container.run(run_id)
        assert (ended.status, ended.survivors, ended.unattributed) == (Status.CANCELLED, (), ())
        # Somebody's own, who came in from outside: it lives, and process 1 is its parent.
        lines = container.enter("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        assert "sleep 601" in lines
        assert "sleep 600" not in lines


async def test_no_signal_is_passed_on_but_the_stop_of_each_run(
    container: Container, tmp_path: Path
) -> None:
    with trio.fail_after(300):
        line = f"exec 9<>{tmp_path}/fifo; {LISTENER}"
        os.mkfifo(tmp_path / "fifo")
        run_id = container.command("submit", "--", "bash", "-c", line).strip()
        await wait_until(lambda: "ready" in container.command("logs", run_id))
        for name in ("HUP", "USR1", "USR2", "WINCH", "CHLD"):
            os.kill(container.pid, signal.Signals[f"SIG{name}"])
        assert container.run(run_id).status is Status.RUNNING
        os.kill(container.pid, signal.SIGTERM)
        code = await trio.to_thread.run_sync(container.unshare.wait)
        assert code == 0
    log = (tmp_path / "s" / "logs" / f"{run_id}.log").read_bytes()
    assert log == b"ready\ngot TERM\n"


async def test_what_a_run_leaves_behind_is_its_own_there_too(container: Container) -> None:
    """Known by its marks, or by its control group."""
    with trio.fail_after(300):
        run_id = container.command(
            "submit", "--shell", "setsid sleep 602 >/dev/null 2>&1 & sleep 0.3; exit 3"
        ).strip()
        await wait_until(lambda: container.run(run_id).status.ended)
        ended = container.run(run_id)
        assert (ended.exit_code, len(ended.killed)) == (3, 1)
        await wait_until(lambda: True not in container.children().values())
        lines = container.enter("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        assert "sleep 602" not in lines
