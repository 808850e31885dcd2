"""Keys from a URL (RFC 7517): fetched again and again, and when a token names one not yet known.

Whatever becomes of the identity provider, the keys that it last had stay: only another key set
replaces them.
"""

from __future__ import annotations

import http.client
import logging
import math
import time
import urllib.error
import urllib.request
from typing import NoReturn

import trio
from msgspec import Struct

from supervisor.errors import BadValue
from supervisor.pulse import Pulse
from web.auth.keys import MAX_SET, Key, read_set

_log = logging.getLogger("runwire.auth")
_HEADERS = {"Accept": "application/json", "User-Agent": "runwire"}


class Pace(Struct, frozen=True, kw_only=True):
    """How often keys are fetched, in seconds.

    Every `regular_s`, after a failure every `retry_s`, and when a token names an unknown key, but
    never twice within `apart_s`. A fetch may take `patience_s`.
    """

    regular_s: float = 600.0
    retry_s: float = 30.0
    apart_s: float = 10.0
    patience_s: float = 5.0


class KeyUrl:
    """A key set at a URL. `keys` are those of the last fetch that went well."""

    def __init__(self, url: str, pace: Pace | None = None) -> None:
        """Has no keys until `keep_fetching` runs."""
        self.keys: tuple[Key, ...] = ()
        self._url = url
        self._pace = pace or Pace()
        self._begun_at = -math.inf
        self._fetching = True
        self._wanted = Pulse()
        self._fetched = Pulse()
        self._trouble: str | None = None

    async def keep_fetching(self) -> NoReturn:
        """Fetch the keys for as long as the server lives."""
        while True:
            fine = await self._fetch()
            with trio.move_on_after(self._pace.regular_s if fine else self._pace.retry_s):
                await self._wanted.wait()

    async def wait_fetched(self) -> None:
        """Return when the keys are as new as they may be wanted now.

        That is after the fetch under way, or another one, or at once if the last was just now.
        """
        if not self._fetching:
            if trio.current_time() < self._begun_at + self._pace.apart_s:
                return
            self._wanted.fire()
        # A server that is only starting, or stopping, may not be fetching at all.
        with trio.move_on_after(2 * self._pace.patience_s):
            await self._fetched.wait()

    async def _fetch(self) -> bool:
        self._fetching = True
        self._begun_at = trio.current_time()
        try:
            with trio.fail_after(self._pace.patience_s):
                found = await trio.to_thread.run_sync(
                    fetch, self._url, self._pace.patience_s, abandon_on_cancel=True
                )
        except (OSError, http.client.HTTPException, trio.TooSlowError, BadValue) as error:
            self._tell(_why(error))
            return False
        else:
            self.keys = found
            self._tell(None)
            return True
        finally:
            self._fetching = False
            self._fetched.fire()

    def _tell(self, trouble: str | None) -> None:
        """Log how it went, if that is news."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            _log.info("keys from %s: %d", self._url, len(self.keys))
        else:
            _log.warning(
                "keys from %s cannot be had, and the %d known ones stay: %s",
                self._url,
                len(self.keys),
                trouble,
            )


def fetch(url: str, patience_s: float) -> tuple[Key, ...]:
    """The public signature keys at an http or https URL. Blocks.

    Raises OSError or HTTPException if nothing can be had there, BadValue if it is no usable set.
    """
    request = urllib.request.Request(url, headers=_HEADERS)  # noqa: S310 - [auth] allows no other
    give_up_at = time.monotonic() + patience_s
    content = b""
    with _OPENER.open(request, timeout=patience_s) as response:
        while piece := response.read1(MAX_SET):
            content += piece
            if len(content) > MAX_SET:
                raise BadValue("the answer is too large for a key set")
            if time.monotonic() > give_up_at:
                raise TimeoutError
    return read_public_set(content)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from where the configuration says, and from nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def read_public_set(content: bytes) -> tuple[Key, ...]:
    """The public signature keys of a set. Raises BadValue if there is none that can be used."""
    found = read_set(content, secrets=False)
    if not found.keys:
        raise BadValue("; ".join(("there is no key that can be used", *found.refused)))
    return found.keys


def _why(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError():
            error.close()
            return f"the answer is {error.code}"
        case BadValue():
            return error.message
        case trio.TooSlowError() | TimeoutError():
            return "there is no answer in time"
        case _:
            return str(error) or type(error).__name__
