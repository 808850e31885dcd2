"""Pages of other sites: those that `[web] cors_origins` names may read what the server answers.

The browser asks first (preflight) where a request is not one that any form could make; see the
CORS protocol in the Fetch standard. Nothing here lets anybody in: they still need a token.
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from quart import Response, request

from web.api.call import no_body

_METHODS = "GET, HEAD, POST, DELETE"
_READABLE = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "Runwire-Log-Offset",
    "Runwire-Log-Oldest",
    "Runwire-Log-Size",
    "WWW-Authenticate",
)
"""Headers of ours that a page may read besides the usual: with credentials, `*` would be a name."""
_REMEMBER_S = 600


class Cors:
    """For the whole application; add `answer_preflight` before and `add_headers` after requests."""

    def __init__(self, origins: Collection[str]) -> None:
        """`origins` are lower case, and compared as a whole."""
        self._origins = origins

    async def answer_preflight(self) -> Response | None:
        """The answer, if the request is a browser's question that we answer with yes."""
        asking = "Access-Control-Request-Method" in request.headers
        if request.method != "OPTIONS" or not asking or not self._allowed():
            return None
        response = no_body(
            HTTPStatus.NO_CONTENT,
            {
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Max-Age": str(_REMEMBER_S),
            },
        )
        # Front ends' libraries add headers of their own, which mean nothing here.
        if asked := request.headers.get("Access-Control-Request-Headers"):
            response.headers["Access-Control-Allow-Headers"] = asked
            response.vary.add("Access-Control-Request-Headers")
        return response

    async def add_headers(self, response: Response) -> Response:
        """Let the page read the answer, if its site may and not everybody may anyway."""
        if not self._origins or "Access-Control-Allow-Origin" in response.headers:
            return response
        response.vary.add("Origin")
        if self._allowed():
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = ", ".join(_READABLE)
            # We set no cookies, but front ends that send those of a proxy ask for this.
            response.headers["Access-Control-Allow-Credentials"] = "true"
        return response

    def _allowed(self) -> bool:
        return request.headers.get("Origin", "").lower() in self._origins
