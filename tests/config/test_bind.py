"""The address to listen on: HOST:PORT, and a hint for what people write instead."""

from __future__ import annotations

import pytest

from supervisor.config.bind import Bind, parse_bind
from supervisor.errors import BadValue


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:4000", "127.0.0.1", 4000, True),
        ("127.0.0.1:0", "127.0.0.1", 0, True),
        ("localhost:80", "localhost", 80, True),
        ("0.0.0.0:65535", "0.0.0.0", 65535, False),
        ("[::1]:4000", "::1", 4000, True),
        ("[::]:4000", "::", 4000, False),
        ("build-1.example.org:4000", "build-1.example.org", 4000, False),
    ],
)
def test_an_address_is_read_and_written_the_same(
    text: str, host: str, port: int, loopback: bool
) -> None:
    bind = parse_bind(text)

    assert bind == Bind(host, port)
    assert bind.loopback is loopback
    assert str(bind) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("4000", '"127.0.0.1:4000" for this machine alone or "0.0.0.0:4000" for all'),
        (4000, '"127.0.0.1:4000" for this machine alone or "0.0.0.0:4000" for all'),
        (":4000", '"127.0.0.1:4000" for this machine alone or "0.0.0.0:4000" for all'),
        ("::1:4000", 'with brackets around an IPv6 address, such as "[::1]:4000"'),
        ("[::1]", 'such as "[::1]:4000"'),
        ("[banana]:4000", "there is no IPv6 address banana"),
        ("localhost", 'must be HOST:PORT, such as "127.0.0.1:4000", not "localhost"'),
        ("http://localhost:4000", "must be HOST:PORT, such as"),
        ("local host:4000", "must be HOST:PORT, such as"),
        ("127.0.0.1:65536", "there is no port 65536; they go up to 65535"),
        ("127.0.0.1:-1", "must be HOST:PORT, such as"),
        ("127.0.0.1:\u0664", "must be HOST:PORT, such as"),
        ("", "must be HOST:PORT, such as"),
        (True, "must be HOST:PORT, such as"),
        (None, "must be HOST:PORT, such as"),
    ],
)
def test_anything_else_is_refused_with_what_was_probably_meant(value: object, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse_bind(value, field="bind")

    assert message in caught.value.message
    assert caught.value.field == "bind"
