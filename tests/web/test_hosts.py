"""Which Host headers a server answers to."""

import pytest

from web.hosts import bare_host, host_allowed, origin_allowed

OURS = {"build.example", "0.0.0.0"}


@pytest.mark.parametrize(
    "header",
    [
        "localhost",
        "localhost:4000",
        "LOCALHOST:4000",
        "localhost.",
        "app.localhost:1",
        "127.0.0.1",
        "127.0.0.1:4000",
        "192.168.1.5:4000",
        "[::1]",
        "[::1]:4000",
        "build.example",
        "Build.Example:80",
    ],
)
def test_addresses_localhost_and_configured_names_are_ours(header: str) -> None:
    assert host_allowed(header, OURS)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "evil.example",
        "evil.example:4000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "build.example.evil.example",
        "xlocalhost",
        "localhost:4000x",
        "user@localhost",
        "::1",
        "[::1",
        "[evil.example]",
        "localhost:²",
        "a b",
    ],
)
def test_any_other_name_is_not(header: str) -> None:
    assert not host_allowed(header, OURS)


def test_a_star_allows_everything() -> None:
    assert host_allowed("evil.example", {"*"})


def test_the_port_is_cut_off() -> None:
    assert bare_host("Example:80") == "example"
    assert bare_host("[::1]:80") == "::1"
    assert bare_host("example") == "example"


def test_a_page_may_use_the_server_it_came_from_and_one_that_names_its_site() -> None:
    ours = {"https://dash.example"}
    assert origin_allowed("http://Build.example:80", "build.example:80", ())
    assert origin_allowed("https://Dash.example", "build.example", ours)
    for origin in ("http://dash.example", "https://dash.example:444", "null", "dash.example", ""):
        assert not origin_allowed(origin, "build.example", ours)
