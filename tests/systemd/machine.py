"""A machine that was started with a real systemd, to install Runwire on and to drive it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.base import ROOT
from tools.trixie import ENVIRONMENT, root_of_trixie

JOBS = "/etc/runwire/jobs.toml"
SERVICE = "runwire.service"

_WHEELS = "/mnt"
_SCRIPT = Path(__file__).with_name("boot-systemd.sh")
_PATIENCE_S = 300
_LIFE_S = 3600
_CURL = ["curl", "-sS", "--max-time", "60", "--unix-socket", "/run/runwire/runwire.sock"]


class Machine:
    """A file system seen through a layer that is thrown away, and a systemd that runs on it."""

    def __init__(self, name: str, program: Path, options: Iterable[str]) -> None:
        """It is started at once; `program` is its runwire. Raises CalledProcessError if not."""
        self.name = name
        self.program = str(program)
        self.wheel: Path | None = None
        """What was installed there, with room beside it for others; None if it runs from sources."""
        self._control("start", "--name", name, "--life", str(_LIFE_S), *options)
        self.systemd = int(self.output("systemctl", "--version").split()[1])
        """Its version."""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command on it, as root, to its end."""
        done = self._control("exec", self.name, *command, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def living(self, *which: str) -> list[str]:
        """The names of its processes that pgrep(1) finds so; who only waits to be reaped is none."""
        found = self.run("pgrep", "--list-name", "--runstates", "D,R,S,T", *which, check=False)
        return [line.split(maxsplit=1)[1] for line in found.stdout.splitlines()]

    def start(self, *command: str) -> subprocess.Popen[str]:
        """One command on it that goes on."""
        return subprocess.Popen(
            [_SCRIPT, "exec", self.name, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def output(self, *command: str) -> str:
        """What a command says that is to succeed."""
        return self.run(*command).stdout

    def runwire(self, *arguments: str) -> str:
        """What a command of Runwire says."""
        return self.output(self.program, *arguments)

    def install(self, wheel: str) -> None:
        """Have pip install one of the wheels that are there, in the place of what is installed."""
        options = ("-q", "--no-index", "--no-deps", "--force-reinstall")
        pip = str(Path(self.program).with_name("pip"))
        self.run(pip, "install", *options, f"{_WHEELS}/{wheel}")

    def get(self, path: str) -> str:
        """What the service answers over its Unix socket."""
        return self.output(*_CURL, f"http://localhost{path}")

    def post(self, path: str, *bodies: object) -> None:
        """Send each of these to the service over its Unix socket; all are to succeed."""
        command = [*_CURL, "-f", "-o", "/dev/null", "-H", "content-type: application/json"]
        command += [f"http://localhost{path}", "-d"]
        script = "\n".join(shlex.join([*command, json.dumps(body)]) for body in bodies)
        self.run("sh", "-ec", script)

    def property(self, name: str) -> str:
        """One property of the service."""
        return self.output("systemctl", "show", "--value", "-p", name, "runwire.service").strip()

    def journal(self) -> str:
        """What the service and systemd have said of it."""
        return self.output("journalctl", "-u", "runwire.service", "-o", "cat", "--no-pager")

    @contextmanager
    def setting(self, line: str) -> Iterator[None]:
        """The service with one more line in its `[Service]`, for as long as it lasts."""
        file = f"/run/systemd/system/{SERVICE}.d/90-test.conf"
        self.run("mkdir", "-p", str(Path(file).parent))
        self.run("sh", "-c", f"printf '[Service]\\n%s\\n' '{line}' > {file}")
        self.run("systemctl", "daemon-reload")
        try:
            yield
        finally:
            self.run("rm", file)
            self.run("systemctl", "daemon-reload")

    @contextmanager
    def jobs_as_before(self) -> Iterator[None]:
        """Whatever is done to jobs.toml is undone."""
        self.run("cp", JOBS, "/run/jobs.before")
        try:
            yield
        finally:
            self.run("cp", "/run/jobs.before", JOBS)

    def stop(self) -> None:
        """Shut it down and remove every trace."""
        self._control("stop", self.name)

    def _control(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_SCRIPT, *arguments],
            capture_output=True,
            text=True,
            check=check,
            timeout=_PATIENCE_S,
        )


def this_machine(name: str) -> Machine:
    """With what this machine's own file system holds, and so the Runwire under test."""
    program = Path(sys.executable).with_name("runwire")
    places = (ROOT, program.parent.parent, Path(sys.base_prefix).resolve())
    hidden = [str(place) for place in places if place.is_relative_to("/tmp")]
    # What is there is hidden by a /tmp of its own.
    machine = Machine(name, program, (x for p in hidden for x in ("--bind-ro", p)))
    # Whoever the service runs as has to be able to execute what is under test.
    for file in (program, Path(sys.executable).resolve()):
        for part in (file, *file.parents):
            machine.run("chmod", "a+rx", str(part), check=False)
    return machine


def debian_13(name: str, wheels: Path) -> Machine:
    """With Debian 13's systemd and Python, and the one wheel in `wheels` installed."""
    options = ("--root", str(root_of_trixie()), "--bind-ro", f"{wheels}:{_WHEELS}")
    machine = Machine(name, ENVIRONMENT / "bin/runwire", options)
    (machine.wheel,) = wheels.iterdir()
    machine.install(machine.wheel.name)
    return machine
