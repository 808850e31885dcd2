"""Runs that are watched."""

from __future__ import annotations

import pytest

from tests.web.served import Site


@pytest.fixture
async def done(site: Site) -> str:
    """A run that has ended, with 6 bytes of output."""
    run_id = await site.shell("printf 'hello\\n'")
    await site.ended(run_id)
    return run_id


@pytest.fixture
async def sleeper(site: Site) -> str:
    """A run that goes on."""
    run_id = await site.shell("echo ready; sleep 60")
    await site.running(run_id, written=6)
    return run_id
