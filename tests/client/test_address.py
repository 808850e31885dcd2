"""A server's address, as flags and the environment name it."""

from __future__ import annotations

import pytest

from supervisor.client.address import Address, socket_address, target, url_address
from supervisor.errors import BadValue


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "base_path"),
    [
        ("http://127.0.0.1:4000", "http", "127.0.0.1", 4000, ""),
        ("http://127.0.0.1:4000/", "http", "127.0.0.1", 4000, ""),
        ("https://example.org/runwire/", "https", "example.org", 443, "/runwire"),
        ("http://[::1]:4000/a/b", "http", "::1", 4000, "/a/b"),
        ("localhost:4000", "http", "localhost", 4000, ""),
        ("HTTP://Example.ORG", "http", "example.org", 80, ""),
    ],
)
def test_a_url_says_scheme_host_port_and_base_path(
    url: str, scheme: str, host: str, port: int, base_path: str
) -> None:
    found = url_address(url)
    assert found == Address(scheme=scheme, host=host, port=port, base_path=base_path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.org",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://host:0",
        "http://user:secret@host",
        "http://host/?token=secret",
        "http://host/#part",
        "http://ho st/",
        "http://[::1",
        "http://höst/",
    ],
)
def test_what_is_no_server_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadValue, match=r"http://127\.0\.0\.1:4000") as refused:
        url_address(url)
    assert refused.value.field == "url"


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Admin: 1", "töken"])
def test_a_token_that_could_break_out_of_its_header_is_refused(token: str) -> None:
    with pytest.raises(BadValue, match="token"):
        url_address("http://host", token=token)


def test_the_token_goes_into_the_authorization_header_and_is_never_shown() -> None:
    address = url_address("http://host:4000/x", token="secret-token")
    assert address.headers()["Authorization"] == "Bearer secret-token"
    assert address.shown == "http://host:4000/x"
    assert "Authorization" not in socket_address("/run/x.sock").headers()


def test_the_host_header_leaves_out_a_default_port_and_brackets_ipv6() -> None:
    assert url_address("https://host").netloc == "host"
    assert url_address("http://[::1]:4000").netloc == "[::1]:4000"
    assert socket_address("/run/x.sock").netloc == "localhost"


def test_a_target_is_base_path_path_and_escaped_query() -> None:
    address = url_address("http://host/base")
    assert target(address, "/runs") == "/base/runs"
    asked = target(address, "/runs", {"q": "a&b c", "status": ["failed", "running"]})
    assert asked == "/base/runs?q=a%26b+c&status=failed&status=running"
