"""The address a server listens on, as `HOST:PORT`. Pure."""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from supervisor.errors import BadValue
from supervisor.jobs.params import shown

_BIND = re.compile(r"(?:\[(?P<ipv6>[^\[\]\s]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})")


class Bind(Struct, frozen=True):
    """A host (name or address, IPv6 without brackets) and a port; port 0 picks a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written: `127.0.0.1:4000`, `[::1]:4000`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_bind(value: object, *, field: str | None = None) -> Bind:
    """The address that `"127.0.0.1:4000"`, `"localhost:0"` or `"[::1]:4000"` names.

    Raises BadValue, for `field`, saying how it should be written.
    """
    match = _BIND.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadValue(f"must be HOST:PORT, {_hint(value)}, not {shown(value)}", field=field)
    port = int(match["port"])
    if port > 65535:
        raise BadValue(f"there is no port {port}; they go up to 65535", field=field)
    if match["ipv6"] is not None and not _is_ipv6(match["ipv6"]):
        raise BadValue(f"there is no IPv6 address {match['ipv6']}", field=field)
    return Bind(match["ipv6"] or match["host"], port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _hint(value: object) -> str:
    """How to write what was probably meant."""
    text = "" if isinstance(value, bool) else str(value)
    if re.fullmatch(r":?[0-9]{1,5}", text, re.ASCII):
        port = text.removeprefix(":")
        return f'"127.0.0.1:{port}" for this machine alone or "0.0.0.0:{port}" for all'
    if text.count(":") > 1 and "/" not in text:
        return 'with brackets around an IPv6 address, such as "[::1]:4000"'
    return 'such as "127.0.0.1:4000"'
