"""What holds for all tests."""

import signal

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.sharing import Sharing, processes

# How fast a machine is says nothing about the code, and a test that failed must fail again.
# `./dev test --hypothesis-profile=explore` looks for examples that nobody has tried yet.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", settings.get_profile("same"), derandomize=False, max_examples=2000
)
settings.load_profile("same")

# A shell has what it starts in the background ignore Ctrl-C, and so would what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return processes()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    return Sharing(config, log)
