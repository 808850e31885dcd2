"""The machines of this directory's tests; each takes a second or two to start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.systemd.machine import Machine, debian_13, this_machine
from tools.base import ROOT
from tools.trixie import root_of_trixie


@pytest.fixture(scope="session", params=["this machine's systemd", "Debian 13's systemd"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine with systemd on which Runwire is installed as a service, and not started."""
    if os.geteuid() != 0:
        pytest.skip("a machine of one's own takes root")
    name = f"runwire-test-{os.getpid()}"
    try:
        if request.param.startswith("this"):
            machine = this_machine(name)
        elif root_of_trixie().is_dir():
            wheels = tmp_path_factory.mktemp("wheels")
            build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
            subprocess.run(
                [*build, "--directory", wheels], cwd=ROOT, check=True, capture_output=True
            )
            machine = debian_13(name, wheels)
        else:
            pytest.skip(
                f"{root_of_trixie()} is not there; `./dev test --all` makes it, if it can, "
                "and else says why not"
            )
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
