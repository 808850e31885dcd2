"""What tests do again and again with clients of a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trio_websocket import ConnectionRejected

from supervisor.access.claims import full_claims
from supervisor.model import SYSTEM
from supervisor.wire import NewToken, TokenRequest
from tests.web.served import Site
from tests.web.watching import Watcher, watch

ADMIN = full_claims(SYSTEM)


async def refused(site: Site, path: str, **how: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    """The plain HTTP answer to a handshake."""
    with pytest.RaisesGroup(
        ConnectionRejected, flatten_subgroups=True, allow_unwrapped=True
    ) as caught:
        async with watch(site, path, **how):
            raise AssertionError("it was let in")
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConnectionRejected)
    headers = {name.decode().lower(): value.decode() for name, value in error.headers}
    return error.status_code, json.loads(error.body or b"{}"), headers


async def issued(site: Site, scope: str = "runs:read", **more: Any) -> NewToken:
    return await site.tokens.issue(TokenRequest(scope=scope, **more), ADMIN)


def last_words(watcher: Watcher) -> dict[str, Any]:
    return watcher.said[-1]
