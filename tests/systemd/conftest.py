"""One machine for all tests of this directory; it takes less than a second to start."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.systemd.machine import Machine


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A machine with systemd on which Runwire is installed as a service, and not started."""
    if os.geteuid() != 0:
        pytest.skip("a machine of one's own takes root")
    try:
        machine = Machine(f"runwire-test-{os.getpid()}")
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"no machine can be started here: {exc.stderr[-500:]}")
    try:
        machine.runwire("install-service")
        yield machine
    finally:
        machine.stop()


@pytest.fixture
def service(machine: Machine) -> Iterator[Machine]:
    """The same, with the service just started, and its state empty."""
    machine.run("systemctl", "stop", "runwire.service", "runwire.socket")
    machine.run("systemctl", "reset-failed", check=False)
    machine.run("sh", "-c", "rm -rf /var/lib/runwire/*")
    machine.run("systemctl", "start", "runwire.socket", "runwire.service")
    yield machine
    machine.run("systemctl", "stop", "runwire.service", "runwire.socket")
