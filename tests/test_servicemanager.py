"""What the server tells its service manager, and what it is given by it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.servicemanager import ServiceManager, take_service_manager

TAKE = """
import os, sys
from supervisor.servicemanager import take_service_manager
os.environ["LISTEN_PID"] = os.environ["LISTEN_PID"].replace("own", str(os.getpid()))
manager = take_service_manager()
names = [sock.getsockname() for sock in manager.sockets]
print(len(names), sorted(set(os.environ) & {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}))
print([os.get_inheritable(sock.fileno()) for sock in manager.sockets])
"""


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """Where a service manager hears what it is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        yield sock


def test_every_message_is_one_datagram_of_lines(told: socket.socket) -> None:
    manager = ServiceManager(told.getsockname())
    manager.ready("2 running, 0 queued")
    assert told.recv(4096) == b"READY=1\nSTATUS=2 running, 0 queued"
    manager.status("none")
    assert told.recv(4096) == b"STATUS=none"
    manager.stopping("stopping all runs")
    assert told.recv(4096) == b"STOPPING=1\nSTATUS=stopping all runs"
    manager.extend(2.5)
    assert told.recv(4096) == b"EXTEND_TIMEOUT_USEC=2500000"
    manager.alive()
    assert told.recv(4096) == b"WATCHDOG=1"
    manager.reloading()
    first, second = told.recv(4096).split(b"\n")
    assert first == b"RELOADING=1"
    assert second.startswith(b"MONOTONIC_USEC=")


def test_names_without_a_file_work_as_well() -> None:
    name = f"runwire-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        ServiceManager("@" + name).alive()
        assert sock.recv(100) == b"WATCHDOG=1"


def test_a_manager_that_is_not_there_or_does_not_listen_costs_nothing(
    tmp_path: Path, told: socket.socket
) -> None:
    ServiceManager().ready("x")
    ServiceManager(str(tmp_path / "none")).ready("x")
    manager = ServiceManager(told.getsockname())
    for _ in range(10_000):  # far more than a socket holds
        manager.alive()


def test_what_the_manager_said_is_taken_out_of_the_environment() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    manager = take_service_manager(environ)
    assert manager.watchdog_s == 30
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}],
)
def test_a_watchdog_of_somebody_else_is_none_of_ours(environ: dict[str, str]) -> None:
    assert take_service_manager(environ).watchdog_s is None


@pytest.mark.parametrize(("listen_pid", "found"), [("own", "1 []\n[False]\n"), ("1", "0 []\n[]\n")])
def test_passed_sockets_are_taken_if_they_are_meant_for_this_process_and_listen(
    listen_pid: str, found: str
) -> None:
    """A pipe among them is closed, and what this process starts gets none of them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        reader, writer = os.pipe()

        def pass_on() -> None:
            os.dup2(listening.fileno(), 103)
            os.dup2(reader, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        done = subprocess.run(
            [sys.executable, "-c", TAKE],
            env={
                **os.environ,
                "LISTEN_FDS": "2",
                "LISTEN_PID": listen_pid,
                "LISTEN_FDNAMES": "a:b",
            },
            preexec_fn=pass_on,
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        )
        os.close(reader)
        os.close(writer)
    assert done.stdout == found
