"""The web pages: the files of web/static, from memory, under an address that changes with them.

Every file but the document has the digest of all of them in its path, so that browsers may keep it
for ever, and one version's files never meet another's. What other front ends import has an address
that stays, and leads to the files of today.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from msgspec import Struct
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import NotFound

STATIC = Path(__file__).parent / "static"
ENTRIES = ("runs.js", "run-terminal.js", "react.js")
"""The modules for other front ends."""

_DOCUMENT = "index.html"
_KNOWN_PAGES = re.compile(r"|runs/[^/]+|jobs|jobs/[^/]+|new")
_NO_MODULES_OF_THE_PAGE = frozenset({"react.js", "app/theme.js"})
_TYPES = {".mjs": "text/javascript", ".js": "text/javascript"}
_DIGEST_LENGTH = 16

# xterm.js sets style attributes for colours; elements and scripts come from our own files alone.
POLICY = "; ".join(  # noqa: FLY002 - one rule a line
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "style-src-elem 'self'",
        "style-src-attr 'unsafe-inline'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_DOCUMENT_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Nothing in these files is anybody's secret: other sites may use them.
_SHARED = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_FOR_EVER = {**_SHARED, "Cache-Control": "public, max-age=31536000, immutable"}
_ASK_AGAIN = {**_SHARED, "Cache-Control": "no-cache"}


class File(Struct, frozen=True):
    """What is sent for one address: as it is, and compressed where that is shorter."""

    body: bytes
    packed: bytes | None
    content_type: str
    etag: str


class Pages:
    """Everything under /ui/."""

    def __init__(self, base_path: str, static: Path = STATIC) -> None:
        """Reads all files of `static`; `base_path` is where the server is for browsers."""
        sources = {
            path.relative_to(static).as_posix(): path.read_bytes()
            for path in sorted(static.rglob("*"))
            if path.is_file()
        }
        self.digest = _digest_of(sources)
        prefix = f"{base_path}/ui/s/{self.digest}"
        self._document = _file(_DOCUMENT, _document(prefix, sources))
        del sources[_DOCUMENT]
        self._files = {name: _file(name, body) for name, body in sources.items()}
        self._entries = {name: _file(name, _entry(prefix, name)) for name in ENTRIES}

    def add_to(self, app: QuartTrio) -> None:
        """Serve them."""
        app.add_url_rule("/ui/", "page", self._page)
        app.add_url_rule("/ui/<path:page>", "page", self._page)
        app.add_url_rule("/ui/s/<digest>/<path:name>", "page file", self._static)

    async def _page(self, page: str = "") -> Response:
        if page in self._entries:
            return _send(self._entries[page], _ASK_AGAIN)
        known = _KNOWN_PAGES.fullmatch(page) is not None
        status = HTTPStatus.OK if known else HTTPStatus.NOT_FOUND
        return _send(self._document, _DOCUMENT_HEADERS, status)

    async def _static(self, digest: str, name: str) -> Response:
        file = self._files.get(name)
        if digest != self.digest or file is None:
            raise NotFound
        return _send(file, _FOR_EVER)


def _digest_of(sources: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, body in sources.items():
        digest.update(f"{name}\n{len(body)}\n".encode())
        digest.update(body)
    return digest.hexdigest()[:_DIGEST_LENGTH]


def _document(prefix: str, sources: Mapping[str, bytes]) -> bytes:
    """The page, which names all of its modules."""
    modules = [
        name
        for name in sources
        if Path(name).suffix in _TYPES and name not in _NO_MODULES_OF_THE_PAGE
    ]
    links = "\n".join(f'<link rel="modulepreload" href="{prefix}/{name}">' for name in modules)
    document = sources[_DOCUMENT].replace(b"{modules}", links.encode())
    return document.replace(b"{static}", prefix.encode())


def _entry(prefix: str, name: str) -> bytes:
    """A module that stands for the one with the digest in its path."""
    return f"export * from {json.dumps(f'{prefix}/{name}')};\n".encode()


def _file(name: str, body: bytes) -> File:
    packed = gzip.compress(body, mtime=0)
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    return File(
        body=body,
        packed=packed if len(packed) < len(body) else None,
        content_type=f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        etag=hashlib.sha256(body).hexdigest()[:_DIGEST_LENGTH],
    )


def _send(file: File, headers: Mapping[str, str], status: HTTPStatus = HTTPStatus.OK) -> Response:
    packed = file.packed if request.accept_encodings["gzip"] > 0 else None
    response = Response(
        file.body if packed is None else packed,
        status=status,
        headers={**headers, "Vary": "Accept-Encoding", "ETag": f'W/"{file.etag}"'},
        content_type=file.content_type,
    )
    if packed is not None:
        response.headers["Content-Encoding"] = "gzip"
    if status is HTTPStatus.OK and request.if_none_match.contains_weak(file.etag):
        response.status_code = HTTPStatus.NOT_MODIFIED
        response.set_data(b"")
        response.headers.pop("Content-Length", None)
        response.headers.pop("Content-Encoding", None)
    return response
