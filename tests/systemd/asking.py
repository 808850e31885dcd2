"""What is asked of a service that runs on such a machine, its own or that of one user."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

WAIT_S = 120.0
ENDED = ("succeeded", "failed", "cancelled")


class Service(Protocol):
    """Runwire, installed as a service."""

    def get(self, path: str) -> str:
        """What it answers over its Unix socket."""
        ...

    def property(self, name: str) -> str:
        """What systemd says of it."""
        ...


def numbers(until: str) -> str:
    """A command that writes numbers, one after the other, until there is a file of that name."""
    return f"n=0; while [ ! -e {until} ]; do echo $((n += 1)); sleep 0.01; done; exit 7"


def all_numbers(log: str) -> bool:
    """Whether these are some, from the first one on, and none is missing or told twice."""
    lines = log.splitlines()
    return lines == [str(number + 1) for number in range(len(lines))] != []


def run(service: Service, run_id: str) -> dict[str, Any]:
    """A run as the service tells it."""
    found: dict[str, Any] = json.loads(service.get(f"/runs/{run_id}"))
    return found


def wait(service: Service, run_id: str, *statuses: str) -> dict[str, Any]:
    """The run, once it has one of these statuses."""
    deadline = time.monotonic() + WAIT_S
    while (found := run(service, run_id))["status"] not in statuses:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def wait_property(service: Service, name: str, *unwanted: str) -> str:
    """A property of the service, once it is another than those."""
    deadline = time.monotonic() + WAIT_S
    while (value := service.property(name)) in unwanted:
        assert time.monotonic() < deadline, f"{name} stays {value}"
        time.sleep(0.05)
    return value


def wait_nothing_kept(service: Service) -> None:
    """Return once systemd keeps no descriptor for it: it is told so after the end of a run."""
    wait_property(service, "NFileDescriptorStore", *map(str, range(1, 100)))
