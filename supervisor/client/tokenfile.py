"""A token that stands in a file, where somebody else puts a newer one in time."""

from __future__ import annotations

from pathlib import Path

from supervisor.client.address import Address, with_token
from supervisor.errors import BadValue


def with_current_token(address: Address) -> Address:
    """The address with the token that is to be shown now.

    Raises BadValue if its file cannot be read or holds no token.
    """
    if address.token_file is None:
        return address
    try:
        token = Path(address.token_file).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise BadValue(
            f"the token cannot be read from {address.token_file}: {why}", field="token-file"
        ) from exc
    if not token:
        raise BadValue(f"there is no token in {address.token_file}", field="token-file")
    return with_token(address, token)
