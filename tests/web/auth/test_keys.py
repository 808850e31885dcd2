"""Keys: what is read from files and key sets, and what is refused before it can do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa

from supervisor.config.authtable import ALGORITHMS, AuthSettings, KeyFile
from supervisor.errors import BadValue, ConfigError
from tests.web.keyring import SECRET, jwk, key_file, key_set, pem, private_key, private_pem
from web.auth.keys import MAX_KEYS, MAX_SET, candidates, read_configured, read_key, read_set

USUAL = ("RS256", "ES256", "ES384", "ES512", "EdDSA")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_of_every_algorithm_is_read_from_a_file(algorithm: str) -> None:
    key = read_key(key_file(algorithm), algorithm=algorithm, kid="k")
    assert (key.algorithm, key.kid, key.own) == (algorithm, "k", False)


@pytest.mark.parametrize("algorithm", USUAL)
def test_the_usual_algorithm_of_a_kind_need_not_be_said(algorithm: str) -> None:
    assert read_key(key_file(algorithm)).algorithm == algorithm


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_of_every_algorithm_is_read_from_a_set(algorithm: str) -> None:
    found = read_set(key_set(jwk(algorithm, kid="k")), secrets=True)
    assert found.refused == ()
    assert [(key.algorithm, key.kid) for key in found.keys] == [(algorithm, "k")]


@pytest.mark.parametrize("algorithm", USUAL)
def test_a_set_need_not_say_the_algorithm(algorithm: str) -> None:
    (key,) = read_set(key_set(jwk(algorithm, alg=None)), secrets=False).keys
    assert key.algorithm == algorithm


def test_a_secret_ends_before_its_line_does() -> None:
    assert read_key(SECRET + b"\n", algorithm="HS256").material == SECRET


@pytest.mark.parametrize(
    ("content", "algorithm", "told"),
    [
        (b"", None, "holds no public key"),
        (b"\xff\x00", None, "holds no public key"),
        (SECRET, None, 'a secret needs algorithm = "HS256"'),
        (pem(private_key("RS256")), "ES256", "is a key for RS256 or RS384 or RS512, not for ES256"),
        (pem(private_key("ES256")), "ES384", "is a key for ES256, not for ES384"),
        (pem(private_key("EdDSA")), "RS256", "is a key for EdDSA, not for RS256"),
        (pem(private_key("RS256")), "HS256", "is a key of another kind, not a secret for HS256"),
        (private_pem(private_key("RS256")), None, "holds a private key"),
        (private_pem(private_key("ES256")), "ES256", "holds a private key"),
        (b"x" * 31, "HS256", "is too short for HS256: 31 bytes, 32 are needed"),
        (b"x" * 47, "HS384", "is too short for HS384"),
        (b"x" * 63, "HS512", "is too short for HS512"),
        (json.dumps(jwk("HS256")).encode(), "HS256", "is a key of another kind"),
    ],
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)
def test_a_file_with_another_thing_is_refused(
    content: bytes, algorithm: str | None, told: str
) -> None:
    with pytest.raises(BadValue, match=told):
        read_key(content, algorithm=algorithm)


@pytest.mark.parametrize(
    "weak",
    [
        pytest.param(rsa.generate_private_key(65537, 1024), id="RSA of 1024 bits"),
        pytest.param(ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
        pytest.param(ed448.Ed448PrivateKey.generate(), id="Ed448"),
        pytest.param(dsa.generate_private_key(1024), id="DSA"),
    ],
)
def test_a_weak_or_unknown_kind_of_key_is_refused(weak: Any) -> None:
    with pytest.raises(BadValue):
        read_key(pem(weak))


def test_public_sets_hold_no_secrets() -> None:
    found = read_set(key_set(jwk("HS256"), jwk("ES256")), secrets=False)
    assert [key.algorithm for key in found.keys] == ["ES256"]
    assert found.refused == ("keys[0]: is a secret that everybody can read",)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kty": None},
        {"kty": ["RSA"]},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 1, "e": 2},
        {"kty": "RSA", "n": "AA", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": {}, "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "!"},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "oct"},
        {"kty": "LAMP"},
        jwk("RS256", d="AA"),
        jwk("RS256", alg="none"),
        jwk("RS256", alg="HS256"),
        jwk("RS256", alg="PS256"),
        jwk("RS256", alg=["RS256"]),
        jwk("RS256", alg={}),
        jwk("ES256", alg="ES384"),
        jwk("ES256", kid=7),
        jwk("ES256", kid=["a"]),
    ],
    ids=lambda entry: str({name: entry[name] for name in entry if name not in {"n", "x", "y"}}),
)
def test_an_entry_that_cannot_be_used_is_passed_over_with_a_reason(entry: dict[str, Any]) -> None:
    found = read_set(key_set(entry, jwk("EdDSA", kid="good")), secrets=True)
    assert [key.kid for key in found.keys] == ["good"]
    assert found.refused[0].startswith("keys[0]: ")


@pytest.mark.parametrize("members", [{"use": "enc"}, {"key_ops": ["encrypt"]}])
def test_a_key_for_another_purpose_is_not_meant(members: dict[str, Any]) -> None:
    found = read_set(key_set(jwk("RS256", **members)), secrets=False)
    assert (found.keys, found.refused) == ((), ())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"keys":{}}', b"[" * 100_000])
def test_what_is_no_set_is_refused(content: bytes) -> None:
    with pytest.raises(BadValue, match="is not a JSON Web Key Set"):
        read_set(content, secrets=True)


def test_a_set_has_its_bound() -> None:
    with pytest.raises(BadValue, match=f"at most {MAX_KEYS}"):
        read_set(key_set(*[jwk("EdDSA")] * (MAX_KEYS + 1)), secrets=True)


def test_a_key_is_asked_only_about_its_own_algorithm_and_name() -> None:
    named = read_key(key_file("ES256"), kid="a")
    other = read_key(key_file("ES256", 2), kid="b")
    nameless = read_key(key_file("ES256", 3))
    keys = (named, other, nameless)
    assert candidates(keys, algorithm="ES256", kid="a") == [named, nameless]
    assert candidates(keys, algorithm="ES256", kid=None) == list(keys)
    assert candidates(keys, algorithm="ES256", kid="c") == [nameless]
    assert candidates(keys, algorithm="ES384", kid="a") == []
    assert candidates(keys, algorithm="none", kid=None) == []


def test_all_configured_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(key_file("RS256"))
    (tmp_path / "b").write_bytes(SECRET)
    (tmp_path / "set.json").write_bytes(key_set(jwk("ES256", kid="1"), jwk("ES384", kid="2")))
    keys = read_configured(
        AuthSettings(
            keys=(
                KeyFile(path=tmp_path / "a.pem", kid="a"),
                KeyFile(path=tmp_path / "b", algorithm="HS512"),
            ),
            jwks_files=(tmp_path / "set.json",),
        )
    )
    assert [(key.algorithm, key.kid) for key in keys] == [
        ("RS256", "a"),
        ("HS512", None),
        ("ES256", "1"),
        ("ES384", "2"),
    ]


def test_every_file_that_is_wrong_is_told(tmp_path: Path) -> None:
    big, odd = tmp_path / "big", tmp_path / "odd.json"
    big.write_bytes(b"x" * (MAX_SET + 1))
    odd.write_bytes(key_set({"kty": "LAMP"}, jwk("ES256")))
    with pytest.raises(ConfigError) as refusal:
        read_configured(
            AuthSettings(
                keys=(KeyFile(path=tmp_path / "gone.pem"), KeyFile(path=big)),
                jwks_files=(odd, tmp_path),
            )
        )
    assert refusal.value.mistakes == (
        f"[auth]: key keys: {tmp_path}/gone.pem: cannot be read: No such file or directory",
        f"[auth]: key keys: {big}: is larger than 256 KiB",
        f"[auth]: key jwks: {odd}: keys[0]: is of a kind that is not known here, or damaged",
        f"[auth]: key jwks: {tmp_path}: cannot be read: Is a directory",
    )


def test_a_key_does_not_show_itself() -> None:
    assert SECRET.decode() not in repr(read_key(SECRET, algorithm="HS256"))
