"""An executor for the tests of the engine."""

from __future__ import annotations

import pytest

from supervisor.testing import (
    FakeExecutor,
)


@pytest.fixture(params=[True, False], ids=["intent-first", "intent-with-start"])
def executor(request: pytest.FixtureRequest) -> FakeExecutor:
    """Both ways to record that a run was given to its executor."""
    return FakeExecutor(intent_first=request.param)
