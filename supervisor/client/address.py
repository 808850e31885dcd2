"""Where a server listens, as its clients are told: a URL, or a Unix socket on this machine. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct, structs

from supervisor.errors import BadValue

DEFAULT_PORTS = {"http": 80, "https": 443}


class Address(Struct, frozen=True, kw_only=True):
    """A server's address. With `socket` (a path) the host only fills the Host header.

    `base_path` is what a reverse proxy puts before every path, such as `/runwire`, or empty.
    """

    socket: str | None = None
    scheme: str = "http"
    host: str = "localhost"
    port: int = 80
    base_path: str = ""
    token: str | None = None
    token_file: str | None = None
    """Where the token stands, to be read whenever one is shown; then `token` does not count."""

    @property
    def shown(self) -> str:
        """The address for people, without the token."""
        if self.socket is not None:
            return self.socket
        return f"{self.scheme}://{self.netloc}{self.base_path}"

    @property
    def netloc(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def headers(self, accept: str = "application/json") -> dict[str, str]:
        """The headers that every request carries."""
        headers = {"Host": self.netloc, "Accept": accept, "User-Agent": "runwire"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


def socket_address(path: str, *, token: str | None = None) -> Address:
    """The address of a server on this machine."""
    return Address(socket=path, token=_token(token))


def url_address(url: str, *, token: str | None = None) -> Address:
    """The address that a URL such as `http://127.0.0.1:4000` or `https://host/runwire` names.

    Raises BadValue if it is none.
    """
    field = "url"
    example = "write something like http://127.0.0.1:4000"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise BadValue(f"{url!r} is not a URL ({exc}): {example}", field=field) from exc
    if parts.scheme not in DEFAULT_PORTS or not host or not re.fullmatch(r"[!-~]+", host):
        raise BadValue(f"{url!r} is not an http or https URL: {example}", field=field)
    if parts.username is not None or parts.query or parts.fragment or port == 0:
        raise BadValue(
            f"a server's URL is only scheme, host, port and path: {example}", field=field
        )
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port or DEFAULT_PORTS[parts.scheme],
        base_path=quote(parts.path.rstrip("/"), safe="/%~"),
        token=_token(token),
    )


def target(address: Address, path: str, query: Mapping[str, str | list[str]] | None = None) -> str:
    """The request target: base path, `path`, and `query` (a list repeats its key)."""
    asked = f"?{urlencode(query, doseq=True)}" if query else ""
    return f"{address.base_path}{path}{asked}"


def with_token(address: Address, token: str | None) -> Address:
    """The same address with this token. Raises BadValue if it cannot be one."""
    return structs.replace(address, token=_token(token), token_file=None)


def _token(token: str | None) -> str | None:
    """The token, checked: it goes into a header, where a line break could add others."""
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise BadValue("a token is printable ASCII without spaces", field="token")
    return token
