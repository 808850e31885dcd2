"""Servers for the tests of `web`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.gate import Gate, Gates
from tests.web.served import OpenSite, Site, running_site


@pytest.fixture
def open_site(tmp_path: Path) -> OpenSite:
    """Opens a server as wished."""

    def open_it(**wishes: Any) -> AbstractAsyncContextManager[Site]:
        return running_site(tmp_path, **wishes)

    return open_it


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server like any other."""
    async with running_site(tmp_path) as opened:
        yield opened


@pytest.fixture
def gate(tmp_path: Path) -> Gates:
    """Makes gates, each by a name of its own."""

    def make(name: str) -> Gate:
        return Gate(tmp_path / name)

    return make
