"""The keys that tokens are checked with: read from PEM files, secrets and key sets (RFC 7517).

An algorithm belongs to a key and is settled here, before any token is seen: a token only names
the one it was signed with, and no key is ever used with another (RFC 8725, 3.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWTError
from jwt.algorithms import HMACAlgorithm
from msgspec import Struct

from supervisor.access.tokenkey import ALGORITHM as OWN_ALGORITHM
from supervisor.access.tokenkey import TokenKey
from supervisor.config.authtable import ALGORITHMS, SECRET_ALGORITHMS, AuthSettings, KeyFile
from supervisor.errors import BadValue, ConfigError
from supervisor.units import KIB

MAX_SET = 256 * KIB  # bytes; a key takes about 1 KiB
MAX_KEYS = 64
_RSA_BITS = range(2048, 8193)
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_CURVES = {SECP256R1.name: "ES256", SECP384R1.name: "ES384", SECP521R1.name: "ES512"}
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512")

Material: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | bytes


class Key(Struct, frozen=True, kw_only=True):
    """A key and the one algorithm it is used with. Without `kid` it is tried for any.

    `own` is the key of this server, which signs tickets too.
    """

    algorithm: str
    material: Material
    kid: str | None = None
    own: bool = False

    def __repr__(self) -> str:
        """Without the material, which may be a secret."""
        return f"Key({self.algorithm}, {self.kid!r})"


class KeySet(Struct, frozen=True):
    """The keys of a set that can be used, and why each of the others cannot."""

    keys: tuple[Key, ...]
    refused: tuple[str, ...]


def own_key(key: TokenKey) -> Key:
    """This server's own key, to check what it signed."""
    return Key(algorithm=OWN_ALGORITHM, material=key.secret, kid=key.kid, own=True)


def read_configured(auth: AuthSettings) -> tuple[Key, ...]:
    """All keys in the files that `[auth]` names. Blocks while it reads them.

    Raises ConfigError with every file that does not hold what it should.
    """
    keys: list[Key] = []
    mistakes: list[str] = []
    for file in auth.keys:
        try:
            keys.append(_read_key_file(file))
        except (OSError, BadValue) as error:
            mistakes.append(f"[auth]: key keys: {file.path}: {_why(error)}")
    for path in auth.jwks_files:
        try:
            found = read_set(_read(path), secrets=True)
        except (OSError, BadValue) as error:
            mistakes.append(f"[auth]: key jwks: {path}: {_why(error)}")
            continue
        keys += found.keys
        mistakes += [f"[auth]: key jwks: {path}: {reason}" for reason in found.refused]
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return tuple(keys)


def read_key(content: bytes, *, algorithm: str | None = None, kid: str | None = None) -> Key:
    """The key in a file: a secret for an HS algorithm, else a public key in PEM form.

    Raises BadValue if it is another thing, too weak, or not for this algorithm.
    """
    if algorithm in SECRET_ALGORITHMS:
        return _checked(content.strip(), algorithm, kid)
    if b"PRIVATE KEY" in content:
        raise BadValue("holds a private key: the server needs, and should have, the public one")
    try:
        material = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadValue(
            "holds no public key in PEM form (-----BEGIN PUBLIC KEY-----); a secret needs "
            'algorithm = "HS256"'
        ) from error
    return _checked(material, algorithm, kid)


def read_set(content: bytes, *, secrets: bool) -> KeySet:
    """The signature keys of a JSON Web Key Set. `secrets` allows symmetric ones.

    Keys for another purpose are left out. Raises BadValue if it is no key set.
    """
    try:
        entries = msgspec.json.decode(content, type=_Set).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadValue("is not a JSON Web Key Set") from error
    if len(entries) > MAX_KEYS:
        raise BadValue(f"has {len(entries)} keys, and at most {MAX_KEYS} are allowed")
    keys: list[Key] = []
    refused: list[str] = []
    for place, entry in enumerate(entries):
        if not _is_for_signatures(entry):
            continue
        try:
            keys.append(_read_entry(entry, secrets=secrets))
        except BadValue as error:
            refused.append(f"keys[{place}]: {error.message}")
    return KeySet(tuple(keys), tuple(refused))


def candidates(keys: Iterable[Key], *, algorithm: str, kid: str | None) -> list[Key]:
    """The keys that may have signed a token that names this algorithm and `kid`."""
    return [
        key
        for key in keys
        if key.algorithm == algorithm and (kid is None or key.kid is None or key.kid == kid)
    ]


class _Set(Struct, frozen=True):
    keys: list[dict[str, Any]]


def _read_key_file(file: KeyFile) -> Key:
    return read_key(_read(file.path), algorithm=file.algorithm, kid=file.kid)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_SET + 1)
    if len(content) > MAX_SET:
        raise BadValue(f"is larger than {MAX_SET // KIB} KiB")
    return content


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops")
    return entry.get("use", "sig") == "sig" and (
        not isinstance(operations, list) or "verify" in operations
    )


def _read_entry(entry: dict[str, Any], *, secrets: bool) -> Key:
    """Raises BadValue if the key cannot be used."""
    kind, kid, algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if kind == "oct" and not secrets:
        raise BadValue("is a secret that everybody can read")
    if kind != "oct" and "d" in entry:
        raise BadValue("is a private key")
    if not (kid is None or isinstance(kid, str)):
        raise BadValue("has a kid that is not a string")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise BadValue(f"is for another algorithm than {', '.join(ALGORITHMS)}")
    try:
        material = PyJWK(entry).key
    except (PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise BadValue("is of a kind that is not known here, or damaged") from error
    return _checked(material, algorithm, kid)


def _checked(material: object, algorithm: str | None, kid: str | None) -> Key:
    """The key, if it is strong enough. Raises BadValue, also if the algorithm is for others."""
    match material:
        case bytes():
            allowed: tuple[str, ...] = SECRET_ALGORITHMS
            _check_secret(material, algorithm or allowed[0])
        case RSAPublicKey():
            allowed = _RSA_ALGORITHMS
            if material.key_size not in _RSA_BITS:
                raise BadValue(
                    f"has {material.key_size} bits, {_RSA_BITS[0]} to {_RSA_BITS[-1]} are allowed"
                )
        case EllipticCurvePublicKey() if material.curve.name in _CURVES:
            allowed = (_CURVES[material.curve.name],)
        case Ed25519PublicKey():
            allowed = ("EdDSA",)
        case _:
            raise BadValue("is of a kind that is not known here")
    if algorithm is not None and algorithm not in allowed:
        raise BadValue(f"is a key for {' or '.join(allowed)}, not for {algorithm}")
    return Key(algorithm=algorithm or allowed[0], material=material, kid=kid)


def _check_secret(secret: bytes, algorithm: str) -> None:
    least = _SECRET_BYTES.get(algorithm, 0)
    if len(secret) < least:
        raise BadValue(f"is too short for {algorithm}: {len(secret)} bytes, {least} are needed")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except PyJWTError as error:
        # A public key taken for a secret would let everybody who knows it sign.
        raise BadValue(f"is a key of another kind, not a secret for {algorithm}") from error


def _why(error: OSError | BadValue) -> str:
    return error.message if isinstance(error, BadValue) else f"cannot be read: {error.strerror}"
