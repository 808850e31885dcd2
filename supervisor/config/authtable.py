"""`[auth]` in jobs.toml: which keys sign tokens, and what a token has to say. Pure.

Key files are only named here; `web.auth.keys` reads them when the server starts.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct, field

from supervisor.access.claims import Scope, parse_scope
from supervisor.config.tomltable import Table
from supervisor.errors import BadValue
from supervisor.jobs.checks import path_problem
from supervisor.jobs.params import shown
from supervisor.suggest import did_you_mean
from supervisor.units import parse_duration

SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
ALGORITHMS = (
    *SECRET_ALGORITHMS,
    *("RS256", "RS384", "RS512"),
    *("ES256", "ES384", "ES512"),
    "EdDSA",
)
_MAX_LEEWAY_S = 600.0
_MAX_KEYS = 64


class KeyFile(Struct, frozen=True, kw_only=True):
    """A file with one key: a public key in PEM form, or with an HS algorithm a secret.

    Without `algorithm` it is the usual one of the key's type; without `kid` the key is tried for
    tokens of any `kid`.
    """

    path: Path
    algorithm: str | None = None
    kid: str | None = None


class AuthSettings(Struct, frozen=True, kw_only=True):
    """`[auth]`. `jwks_files` and `jwks_urls` are key sets (RFC 7517).

    `issuer` and `audience` are what tokens must name, if anything. `scope_claim` is the path of
    the claim that holds the scopes, and `scope_map` what other words in it stand for. With
    `query_token` a stream may be opened with a token in its URL.
    """

    keys: tuple[KeyFile, ...] = ()
    jwks_files: tuple[Path, ...] = ()
    jwks_urls: tuple[str, ...] = ()
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    leeway_s: float = 30.0
    scope_claim: tuple[str, ...] = ("scope",)
    scope_map: dict[str, frozenset[Scope]] = field(default_factory=dict)
    query_token: bool = True


def read_auth(table: Table, base: Path) -> AuthSettings:
    """`[auth]` of a file in the directory `base`. What is wrong is noted in the table."""
    files, urls = _read_jwks(table, base)
    auth = AuthSettings(
        keys=_read_keys(table, base),
        jwks_files=files,
        jwks_urls=urls,
        issuer=table.parsed("issuer", _text, None),
        audience=table.parsed("audience", _texts, ()),
        leeway_s=table.parsed("leeway", _leeway, 30.0),
        scope_claim=table.parsed("scope_claim", _claim_path, ("scope",)),
        scope_map=_read_scope_map(table.table("scope_map")),
        query_token=table.flag("query_token", default=True),
    )
    if (files or urls) and not auth.audience:
        table.odd("without audience, only tokens that name none (aud) count")
    table.close({"aud": "audience", "iss": "issuer", "jwks_url": "jwks", "key": "keys"})
    return auth


def _read_keys(table: Table, base: Path) -> tuple[KeyFile, ...]:
    found: list[KeyFile] = []
    for place, entry in enumerate(_list(table, "keys")):
        try:
            found.append(_key_file(entry, base))
        except BadValue as error:
            table.wrong(error.message, "keys", place, *(error.field,) if error.field else ())
    return tuple(found)


def _key_file(entry: object, base: Path) -> KeyFile:
    """Raises BadValue for a field, or for the entry as a whole."""
    if isinstance(entry, str):
        entry = {"file": entry}
    if not isinstance(entry, dict):
        raise BadValue('must be a path, or a table such as { file = "ops.pem", kid = "2" }')
    known = ("file", "algorithm", "kid")
    for name in entry:
        if name not in known:
            raise BadValue(f"there is no such key{did_you_mean(name, known)}", field=name)
    if "file" not in entry:
        raise BadValue("must name a file")
    path = _path(entry["file"], field="file")
    algorithm = entry.get("algorithm")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise BadValue(
            f"must be one of {', '.join(ALGORITHMS)}, not {shown(algorithm)}", field="algorithm"
        )
    kid = None if "kid" not in entry else _text(entry["kid"], field="kid")
    return KeyFile(path=base / path, algorithm=algorithm, kid=kid)


def _read_jwks(table: Table, base: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    files: list[Path] = []
    urls: list[str] = []
    single = isinstance(table.value("jwks"), str)
    for place, entry in enumerate(_list(table, "jwks")):
        where = ("jwks",) if single else ("jwks", place)
        try:
            if isinstance(entry, str) and "://" in entry:
                urls.append(_url(entry))
                if _is_open(entry):
                    table.odd("whoever is between can make keys of their own: use https", *where)
            else:
                files.append(base / _path(entry))
        except BadValue as error:
            table.wrong(error.message, *where)
    return tuple(files), tuple(urls)


def _read_scope_map(table: Table) -> dict[str, frozenset[Scope]]:
    found = {name: table.parsed(name, _scopes, frozenset[Scope]()) for name in table.names()}
    table.close()
    return found


def _list(table: Table, key: str) -> list[object]:
    """The entries of a list; a value that is none stands for a list of itself."""
    value = table.value(key)
    if value is None:
        return []
    entries = value if isinstance(value, list) else [value]
    if len(entries) > _MAX_KEYS:
        table.wrong(f"at most {_MAX_KEYS} are allowed", key)
    return entries[:_MAX_KEYS]


def _text(value: object, *, field: str | None = None) -> str:
    if not isinstance(value, str) or not value:
        raise BadValue(f"must be a string, not {shown(value)}", field=field)
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        if not value:
            raise BadValue("must not be empty: leave it out instead")
        return tuple(_text(item) for item in value)
    return (_text(value),)


def _path(value: object, *, field: str | None = None) -> str:
    path = _text(value, field=field)
    if problem := path_problem(path):
        raise BadValue(problem, field=field)
    return path


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        fine = fine and parts.username is None
    except ValueError:
        fine = None
    if not fine or not text.isascii() or not text.isprintable() or " " in text:
        raise BadValue(f"must be an https URL, not {shown(text)}")
    return text


def _is_open(url: str) -> bool:
    """Whether what comes from there passes over a network unprotected."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return False
    try:
        return not ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname != "localhost"


def _leeway(value: object) -> float:
    leeway_s = parse_duration(value)
    if leeway_s > _MAX_LEEWAY_S:
        raise BadValue(f"must be at most {_MAX_LEEWAY_S:g} seconds: it is for clocks that differ")
    return leeway_s


def _claim_path(value: object) -> tuple[str, ...]:
    """A name whose dots go into objects, or a list of names that are taken as they are."""
    if isinstance(value, list):
        return _texts(value)
    path = tuple(_text(value).split("."))
    if not all(path):
        raise BadValue(f'must be a claim such as "scope" or "access.roles", not {shown(value)}')
    return path


def _scopes(value: object) -> frozenset[Scope]:
    return parse_scope(" ".join(_texts(value)))
