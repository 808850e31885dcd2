"""Which names a server answers to.

A page of another site can make its own host name point at this machine (DNS rebinding), and the
browser then lets it talk to a server here as to its own. What it cannot do is change the name that
the browser sends in `Host`. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection


def host_allowed(header: str, names: Collection[str]) -> bool:
    """Whether a `Host` header names this server: by address, as localhost, or as one of `names`.

    `names` are lower case; a `*` among them allows everything. The port does not matter, since a
    tunnel or a proxy may have another.
    """
    if "*" in names:
        return True
    host = bare_host(header)
    if host is None:
        return False
    return _is_address(host) or host == "localhost" or host.endswith(".localhost") or host in names


def same_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` (RFC 6454) is one of the server that was asked as `host`.

    The scheme does not matter, since a proxy may speak TLS for us.
    """
    scheme, separator, authority = origin.partition("://")
    return bool(separator) and scheme in {"http", "https"} and authority.lower() == host.lower()


def origin_allowed(origin: str, host: str, origins: Collection[str]) -> bool:
    """Whether a page of `origin` may use the server that it asked as `host`.

    `origins` are those that may besides the server's own, lower case.
    """
    return same_origin(origin, host) or origin.lower() in origins


def bare_host(header: str) -> str | None:
    """The host of `HOST` or `HOST:PORT`, lower case; None if it is neither."""
    host, colon, port = header.strip().rpartition(":")
    if not colon or port.endswith("]"):
        host, port = header.strip(), ""
    if port and not (port.isascii() and port.isdigit()):
        return None
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1].lower()
    if not host or ":" in host or any(c in host for c in " @/\\"):
        return None
    return host.lower().removesuffix(".")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
