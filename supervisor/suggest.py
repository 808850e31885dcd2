"""Which known word somebody probably meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable

_SHORTEST_START = 3


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None if none is near enough to be worth naming.

    Near is a word with few letters changed, or one that begins with the other.
    """
    by_folded = {_folded(name): name for name in known}
    folded = _folded(word)
    import difflib  # noqa: PLC0415 - only those who mistype pay for it

    found = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.66)
    if found:
        return by_folded[found[0]]
    begun = (name for name in by_folded if _begins(folded, name) or _begins(name, folded))
    return by_folded.get(next(begun, ""))


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_")


def _begins(word: str, start: str) -> bool:
    return len(start) >= _SHORTEST_START and word.startswith(start)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "..."?` to end a message with, or nothing."""
    guess = nearest(word, known)
    return f'; did you mean "{guess}"?' if guess else ""
