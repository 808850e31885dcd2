"""The key that signs this server's own tokens: made at the first start, kept for ever.

It is one line of text in the state directory, for the owner alone; the key of HS256 (RFC 7518,
3.2) is that text. Whoever can read it can make any token.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from jwt import PyJWS
from msgspec import Struct

from supervisor.errors import StateDirError

ALGORITHM = "HS256"
ISSUER = "runwire"
MIN_SECRET = 32  # bytes, as long as the hash (RFC 7518, 3.2)
_MADE = 48  # random bytes in a key that we make


class TokenKey(Struct, frozen=True):
    """A key to sign with. `kid` names it in the tokens and tells nothing about it."""

    kid: str
    secret: bytes

    def __repr__(self) -> str:
        """Without the secret, which must not get into a log."""
        return f"TokenKey({self.kid!r})"

    def sign(self, payload: bytes, *, typ: str = "JWT") -> str:
        """A JWT (RFC 7519) of this payload, which is a JSON object."""
        header = {"kid": self.kid, "typ": typ}
        return PyJWS().encode(payload, self.secret, algorithm=ALGORITHM, headers=header)


def open_token_key(path: Path) -> TokenKey:
    """The key at `path`, made if there is none. What is there is never written to.

    Raises StateDirError if it is too short, can be read by others, or cannot be read or made.
    """
    try:
        with contextlib.suppress(FileExistsError):
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise StateDirError(f"{path}: the key cannot be used: {error.strerror}") from error
    if mode & 0o077:
        raise StateDirError(
            f"{path}: the key can be read by others (mode {mode:04o}): chmod 600 it, or remove "
            "it to have a new one made, which ends every token signed with this one"
        )
    if len(secret) < MIN_SECRET:
        raise StateDirError(
            f"{path}: the key is damaged: it has {len(secret)} bytes, {MIN_SECRET} are needed; "
            "restore it, or remove it to have a new one made"
        )
    return TokenKey(f"runwire-{hashlib.sha256(secret).hexdigest()[:12]}", secret)


def _make(path: Path) -> None:
    """Write a new key, all of it or nothing. Raises FileExistsError if there is one."""
    if path.exists():
        raise FileExistsError
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(_MADE).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.link(beside, path)  # a rename would overwrite
    beside.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
