"""A real server whose service manager keeps descriptors for the next one, and both of its ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from supervisor.client.address import socket_address
from supervisor.client.api import Client
from supervisor.model import Status, event_name
from supervisor.processes import procfs
from supervisor.wire import RunView, SubmitRequest

MAIN = "from supervisor.cli.main import main; main()"
OLD_KERNEL = "import supervisor.daemon; supervisor.daemon.tells_status = lambda: False; "
MANAGER = Path(__file__).parent / "programs" / "service_manager.py"
PATIENCE_S = 120.0


class Managed:
    """`runwire serve` in `directory`, started by a service manager that outlives it."""

    def __init__(
        self, directory: Path, *, room: int = 100, setting: str = "", kernel_tells: bool = True
    ) -> None:
        """Nothing runs before `start`. `room` descriptors are kept; `setting` is of `[supervisor]`.

        Without `kernel_tells` it is as on a kernel that tells nothing of who was reaped.
        """
        self.directory = directory
        self.client = Client(socket_address(str(directory / "s" / "runwire.sock")))
        (directory / "jobs.toml").write_text(f"[supervisor]\n{setting}\n", encoding="utf-8")
        serve = ["serve", "--config", "jobs.toml", "--bind", "127.0.0.1:0", "--state-dir", "s"]
        command = [sys.executable, "-c", MAIN if kernel_tells else OLD_KERNEL + MAIN]
        self._stderr = (directory / "stderr").open("ab")
        self._manager = subprocess.Popen(
            [sys.executable, "-I", str(MANAGER), str(directory), str(room), *command, *serve],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )

    def start(self) -> None:
        """Returns once it serves."""
        assert self._ask("start"), self.said()

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Its exit code, once it is gone."""
        code = self._ask(str(int(how)))
        assert isinstance(code, int)
        return code

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """It is killed, and another one takes its place."""
        self.end(how)
        self.start()

    def kept(self) -> list[str]:
        """The names of what is kept now."""
        found = self._ask("kept")
        assert isinstance(found, list)
        return found

    def close(self) -> None:
        """Leave nothing behind."""
        self._manager.communicate(timeout=PATIENCE_S)
        self._stderr.close()
        for process in procfs.living():
            if str(self.directory) in _where(process.pid):
                procfs.send_signal(process, "KILL")

    def said(self) -> str:
        """What it wrote to its stderr."""
        return (self.directory / "stderr").read_text()

    def submit(self, shell: str, **request: object) -> str:
        """The id of a run of `shell` in the directory."""
        wanted = SubmitRequest(shell=shell, cwd=str(self.directory), **request)  # type: ignore[arg-type]
        return self.client.submit(wanted).value.id

    def run(self, run_id: str) -> RunView:
        """It as it is now."""
        return self.client.run(run_id).value

    def wait(self, run_id: str, *statuses: Status) -> RunView:
        """It, once it is one of these."""
        until(lambda: self.run(run_id).status in statuses)
        return self.run(run_id)

    def wait_ended(self, run_id: str) -> RunView:
        """It, once it has ended."""
        until(lambda: self.run(run_id).status.ended)
        return self.run(run_id)

    def log(self, run_id: str) -> bytes:
        """All that it has written."""
        return b"".join(self.client.log(run_id))

    def wait_log(self, run_id: str, text: bytes) -> None:
        """Return once it has written `text`."""
        until(lambda: text in self.log(run_id))

    def events(self, run_id: str) -> list[str]:
        """What has happened to it, by name."""
        return [event_name(it.entry.event) for it in self.client.events(run_id).value.events]

    def allow(self, name: str) -> None:
        """Make the file that a program waits for; see `waits`."""
        (self.directory / name).touch()

    def _ask(self, word: str) -> object:
        assert self._manager.stdin is not None
        assert self._manager.stdout is not None
        self._manager.stdin.write(word + "\n")
        self._manager.stdin.flush()
        return json.loads(self._manager.stdout.readline())


def waits(name: str) -> str:
    """For a shell: go on once there is a file of that name."""
    return f"while [ ! -e {name} ]; do sleep 0.02; done"


def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; other processes are looked at, and nothing tells of them."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


def _where(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""
