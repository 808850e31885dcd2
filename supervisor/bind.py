"""The address a server listens on, as `HOST:PORT`. Pure."""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from supervisor.errors import BadValue

_BIND = re.compile(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", re.ASCII)


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
    text = str(value)
    match = _BIND.fullmatch(text) if isinstance(value, str) else None
    if match is None:
        raise BadValue(f"must be HOST:PORT, {_hint(text)}, not {text!r}", field=field)
    port = int(match[3])
    if port > 65535:
        raise BadValue(f"there is no port {port}; they go up to 65535", field=field)
    return Bind(match[1] or match[2], port)


def _hint(text: str) -> str:
    """How to write what was probably meant."""
    if re.fullmatch(r":?[0-9]{1,5}", text, re.ASCII):
        port = text.removeprefix(":")
        return f'"127.0.0.1:{port}" for this machine alone or "0.0.0.0:{port}" for all'
    if text.count(":") > 1:
        return 'with brackets around an IPv6 address, such as "[::1]:4000"'
    return 'such as "127.0.0.1:4000"'
