"""An ordinary user of such a machine, whose service manager goes on when nobody is logged in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.systemd.machine import Machine

SOCKET = ".local/state/runwire/runwire.sock"


class Account:
    """It is made at once; its commands are those of somebody who has logged in."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.home = f"/home/{name}"
        machine.run("useradd", "--create-home", name)
        self.uid = int(machine.output("id", "-u", name))
        self.manager = f"user@{self.uid}.service"
        self.runtime = f"/run/user/{self.uid}"
        # By systemd, since logind wants to know in which of its groups the caller is.
        machine.run("systemd-run", "-q", "--wait", "--pipe", "loginctl", "enable-linger", name)
        self.start_manager()

    def start_manager(self) -> None:
        """Returns when it works; what is enabled for this user may still be starting."""
        self.machine.run("systemctl", "start", self.manager)

    def stop_manager(self) -> None:
        """As when the machine is shut down, or somebody who does not linger logs out."""
        self.machine.run("systemctl", "stop", self.manager)

    def command(self, *command: str, session: bool = True) -> list[str]:
        """How it is told to the machine; without a session, it is as in a shell of su(1)."""
        user = ["setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups"]
        path = "PATH=/usr/local/bin:/usr/bin:/bin"
        env = ["env", "-i", "-C", self.home, path, f"HOME={self.home}", f"USER={self.name}"]
        if session:
            env.append(f"XDG_RUNTIME_DIR={self.runtime}")
        return [*user, *env, *command]

    def run(
        self, *command: str, check: bool = True, session: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """One command of this user, to its end."""
        return self.machine.run(*self.command(*command, session=session), check=check)

    def runwire(self, *arguments: str, session: bool = True) -> str:
        """What a command of Runwire says to this user."""
        return self.run(self.machine.program, *arguments, session=session).stdout

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command to this user's service manager."""
        return self.run("systemctl", "--user", *arguments, check=check)

    def get(self, path: str) -> str:
        """What the service answers over its Unix socket."""
        curl = ["curl", "-sS", "--max-time", "60", "--unix-socket", SOCKET]
        return self.run(*curl, f"http://localhost{path}").stdout

    def property(self, name: str) -> str:
        """One property of the service."""
        return self.systemctl("show", "--value", "-p", name, "runwire.service").stdout.strip()

    def processes(self) -> list[str]:
        """The names of all processes of this user but those of its service manager.

        Who only waits to be reaped is none.
        """
        found = self.machine.run("ps", "-o", "state=,comm=", "-u", self.name, check=False).stdout
        states = (line.split(maxsplit=1) for line in found.splitlines())
        ours = {"systemd", "(sd-pam)", "dbus-daemon"}
        return [name for state, name in states if state != "Z" and name not in ours]

    @contextmanager
    def setting(self, *lines: str) -> Iterator[None]:
        """The service with some more lines in its `[Service]`, for as long as it lasts."""
        directory = f"{self.runtime}/systemd/user/runwire.service.d"
        text = "\\n".join(("[Service]", *lines, ""))
        self.run("sh", "-c", f"mkdir -p {directory}; printf '{text}' > {directory}/90-test.conf")
        self.systemctl("daemon-reload")
        try:
            yield
        finally:
            self.run("rm", f"{directory}/90-test.conf")
            self.systemctl("daemon-reload")
