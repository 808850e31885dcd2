"""Pages of other sites: those that `[web] cors_origins` names may read what the server answers.

The browser asks first (preflight) where a request is not one that any form could make; see the
CORS protocol in the Fetch standard. Nothing here lets anybody in: they still need a token.
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from quart import Response, request

from web.api.call import no_body

_ANY = "*"
_REMEMBER_S = 600


class Cors:
    """For the whole application; add `answer_preflight` before and `add_headers` after requests."""

    def __init__(self, origins: Collection[str]) -> None:
        """`origins` are lower case; `*` is all of them."""
        self._origins = origins

    async def answer_preflight(self) -> Response | None:
        """The answer, if the request is a browser's question that we answer with yes."""
        wanted = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or wanted is None or not self._allowed():
            return None
        headers = {
            "Access-Control-Allow-Methods": wanted,
            "Access-Control-Max-Age": str(_REMEMBER_S),
        }
        if asked := request.headers.get("Access-Control-Request-Headers"):
            headers["Access-Control-Allow-Headers"] = asked
        return no_body(HTTPStatus.NO_CONTENT, headers)

    async def add_headers(self, response: Response) -> Response:
        """Let the page read the answer, if its site may and not everybody may anyway."""
        if not self._origins or "Access-Control-Allow-Origin" in response.headers:
            return response
        response.vary.add("Origin")
        if self._allowed():
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = _ANY
            if _ANY not in self._origins:
                # We set no cookies, but front ends that send those of a proxy ask for this.
                response.headers["Access-Control-Allow-Credentials"] = "true"
        return response

    def _allowed(self) -> bool:
        origin = request.headers.get("Origin")
        return origin is not None and (_ANY in self._origins or origin.lower() in self._origins)
