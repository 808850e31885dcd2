"""Keys of every kind for the tests of tokens, made once for all of them."""

from __future__ import annotations

import functools
import json
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import get_default_algorithms

Private: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)
SECRET = b"0123456789abcdef" * 4
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@functools.cache
def private_key(algorithm: str, number: int = 1) -> Private:
    """A private key for an algorithm that has one; another for each number."""
    del number
    match algorithm[:2]:
        case "RS":
            return rsa.generate_private_key(65537, 2048)
        case "ES":
            return ec.generate_private_key(CURVES[algorithm])
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def pem(private: Private) -> bytes:
    """Its public key as it is kept in files."""
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(private: Private) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_key(algorithm: str, number: int = 1) -> Any:
    """What `jwt.encode` signs with."""
    return SECRET if algorithm.startswith("HS") else private_key(algorithm, number)


def key_file(algorithm: str, number: int = 1) -> bytes:
    """What the server is given to check with."""
    return SECRET if algorithm.startswith("HS") else pem(private_key(algorithm, number))


def jwk(algorithm: str, number: int = 1, **members: Any) -> dict[str, Any]:
    """The public key as an entry of a key set; a member that is None is left out."""
    key = signing_key(algorithm, number)
    public = key if isinstance(key, bytes) else key.public_key()
    entry = json.loads(get_default_algorithms()[algorithm].to_jwk(public))
    entry |= {"use": "sig", "alg": algorithm} | members
    return {name: value for name, value in entry.items() if value is not None}


def key_set(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": entries}).encode()


def sign(algorithm: str, claims: dict[str, Any], *, number: int = 1, **header: Any) -> str:
    """A token as any other program would make it."""
    return jwt.encode(
        claims, signing_key(algorithm, number), algorithm=algorithm, headers=header or None
    )
