"""`{shard}` in a job's arguments: finding and filling. Pure.

A placeholder is one identifier between braces. Only that shape means anything: other braces, as in
`awk '{print $1}'` or JSON, are left as they are. Doubled braces around an identifier stand for
single ones, as in Python's format strings: `{{shard}}` gives `{shard}`, `{{{shard}}}` gives the
value between braces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_BRACED = re.compile(r"(\{+)([A-Za-z_][A-Za-z0-9_]*)(\}+)", re.ASCII)


def placeholders(text: str) -> tuple[str, ...]:
    """The identifiers that `fill` would replace in `text`, in order, with repeats."""
    return tuple(
        name for opening, name, closing in _BRACED.findall(text) if _depth(opening, closing) % 2
    )


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with every placeholder replaced. Values are not looked into again.

    Raises KeyError for a placeholder that has no value.
    """

    def replace(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        depth = _depth(opening, closing)
        inner = values[name] if depth % 2 else name
        kept = depth // 2
        return (
            opening[: len(opening) - depth + kept] + inner + closing[: len(closing) - depth + kept]
        )

    return _BRACED.sub(replace, text)


def _depth(opening: str, closing: str) -> int:
    return min(len(opening), len(closing))
