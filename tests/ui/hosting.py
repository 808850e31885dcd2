"""A site of somebody else's, which shows pages with our modules in them.

It really serves: a browser takes a page that a test made up for it for one of the internet, and
does not let such a page reach a server on this machine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = "text/html; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"


class Site:
    """What it serves: `put` adds to it."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.files: dict[str, tuple[str, bytes]] = {}

    def put(self, path: str, body: str, content_type: str = HTML) -> str:
        """Serve `body` from now on; its address."""
        self.files[path] = (content_type, body.encode())
        return f"{self.origin}{path}"


@contextmanager
def hosting() -> Iterator[Site]:
    """A site on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = site.files.get(self.path)
            content_type, body = found or (HTML, b"")
            self.send_response(HTTPStatus.OK if found else HTTPStatus.NO_CONTENT)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
