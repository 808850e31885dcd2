"""`[auth]`: what it may say, and how a mistake in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.access.claims import Scope
from supervisor.config.authtable import ALGORITHMS, AuthSettings, KeyFile
from supervisor.config.settings import read_settings
from supervisor.errors import ConfigError

FILE = Path("/etc/runwire/jobs.toml")


def read(text: str) -> AuthSettings:
    return read_settings(f"[auth]\n{text}\n", FILE, environ={"HOME": "/root"}).auth


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refusal:
        read(text)
    return refusal.value.mistakes


def warnings(text: str) -> tuple[str, ...]:
    return read_settings(f"[auth]\n{text}\n", FILE, environ={"HOME": "/root"}).warnings


def test_without_it_only_the_own_key_counts() -> None:
    assert read_settings("", None, environ={"HOME": "/root"}).auth == AuthSettings()
    assert read("") == AuthSettings()
    assert AuthSettings().leeway_s == 30
    assert AuthSettings().query_token


def test_everything_it_may_say() -> None:
    auth = read("""
        keys = ["ops.pem", { file = "/keys/ci", algorithm = "HS256", kid = "ci-2" }]
        jwks = ["known.json", "https://id.example/jwks"]
        issuer = "https://id.example"
        audience = ["runwire", "all"]
        leeway = "5s"
        scope_claim = "realm.roles"
        scope_map = { operators = "runs:read runs:cancel", boss = ["admin", "runs:read"] }
        query_token = false
    """)
    assert auth == AuthSettings(
        keys=(
            KeyFile(path=Path("/etc/runwire/ops.pem")),
            KeyFile(path=Path("/keys/ci"), algorithm="HS256", kid="ci-2"),
        ),
        jwks_files=(Path("/etc/runwire/known.json"),),
        jwks_urls=("https://id.example/jwks",),
        issuer="https://id.example",
        audience=("runwire", "all"),
        leeway_s=5,
        scope_claim=("realm", "roles"),
        scope_map={
            "operators": frozenset({Scope.RUNS_READ, Scope.RUNS_CANCEL}),
            "boss": frozenset({Scope.ADMIN, Scope.RUNS_READ}),
        },
        query_token=False,
    )


def test_one_is_as_good_as_a_list_of_one() -> None:
    auth = read('keys = "a.pem"\njwks = "b.json"\naudience = "c"')
    assert auth.keys == (KeyFile(path=Path("/etc/runwire/a.pem")),)
    assert auth.jwks_files == (Path("/etc/runwire/b.json"),)
    assert auth.audience == ("c",)


def test_a_claim_with_dots_in_its_name_is_a_list() -> None:
    assert read('scope_claim = ["https://a.example/roles"]').scope_claim == (
        "https://a.example/roles",
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_can_be_named(algorithm: str) -> None:
    assert read(f'keys = [{{ file = "a", algorithm = "{algorithm}" }}]').keys[0].algorithm == (
        algorithm
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("keys = 1", "keys[0]: must be a path, or a table"),
        ('keys = [""]', "keys[0].file: must be a string"),
        ('keys = ["~/a.pem"]', "keys[0].file: ~ means nothing here"),
        ("keys = [{}]", "keys[0]: must name a file"),
        ('keys = [{ path = "a" }]', "keys[0].path: there is no such key"),
        ('keys = [{ file = "a", algorithm = "none" }]', "keys[0].algorithm: must be one of HS256"),
        ('keys = [{ file = "a", algorithm = ["HS256"] }]', "keys[0].algorithm: must be one of"),
        ('keys = [{ file = "a", kid = 7 }]', "keys[0].kid: must be a string, not 7"),
        ("jwks = 1", "jwks[0]: must be a string"),
        ('jwks = "ftp://a.example/x"', 'jwks: must be an https URL, not "ftp://a.example/x"'),
        ('jwks = ["a", "https://"]', "jwks[1]: must be an https URL"),
        ('jwks = "https://a.example:x/"', "jwks: must be an https URL"),
        ('jwks = "https://a.example/ b"', "jwks: must be an https URL"),
        ('issuer = ""', "issuer: must be a string"),
        ("audience = []", "audience: must not be empty"),
        ("audience = [1]", "audience: must be a string, not 1"),
        ('leeway = "1h"', "leeway: must be at most 600 seconds"),
        ("leeway = -1", "leeway: "),
        ('scope_claim = "a..b"', "scope_claim: must be a claim such as"),
        ("scope_claim = []", "scope_claim: must not be empty"),
        ('scope_map = { a = "runs:reed" }', 'scope_map.a: there is no scope "runs:reed"'),
        ("scope_map = { a = 1 }", "scope_map.a: must be a string"),
        ("scope_map = 1", "scope_map: must be a table"),
        ('query_token = "no"', "query_token: must be true or false"),
        ('aud = "x"', 'aud: there is no such key; did you mean "audience"?'),
        ('jwks_url = "x"', 'jwks_url: there is no such key; did you mean "jwks"?'),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.startswith(f"{FILE}:2: [auth]: key {told}"), mistake


def test_all_mistakes_are_told_at_once() -> None:
    assert len(mistakes('leeway = "x"\nissuer = 1\nkeys = [1, 2]\nfoo = 1')) == 5


def test_too_many_keys_are_refused() -> None:
    (mistake,) = mistakes("keys = [" + '"a", ' * 65 + "]")
    assert "at most 64" in mistake


def test_keys_from_elsewhere_without_an_audience_are_odd() -> None:
    (warning,) = warnings('jwks = "https://a.example/"')
    assert "without audience" in warning
    assert warnings('jwks = "https://a.example/"\naudience = "runwire"') == ()


@pytest.mark.parametrize("host", ["a.example", "10.0.0.1", "[2001:db8::1]"])
def test_keys_that_pass_over_a_network_unprotected_are_odd(host: str) -> None:
    (warning,) = warnings(f'jwks = "http://{host}/"\naudience = "runwire"')
    assert warning.startswith(f"{FILE}:2: [auth]: key jwks: ")
    assert "https" in warning


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080"])
def test_keys_from_this_machine_are_not_odd(host: str) -> None:
    assert warnings(f'jwks = "http://{host}/"\naudience = "runwire"') == ()
