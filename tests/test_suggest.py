"""Suggestions: the word that was meant, or none rather than a wild guess."""

from __future__ import annotations

import pytest

from supervisor.suggest import did_you_mean, nearest

KEYS = ("command", "concurrency", "cwd", "shell", "timeout", "max_running")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("comand", "command"),
        ("timeot", "timeout"),
        ("Timeout", "timeout"),
        ("max-running", "max_running"),
        ("concurency", "concurrency"),
        ("conc", "concurrency"),
        ("commandline", "command"),
        ("timeout_after", "timeout"),
        ("colour", None),
        ("schedule", None),
        ("co", None),
        ("", None),
    ],
)
def test_the_nearest_word_is_named_if_it_is_near(word: str, meant: str | None) -> None:
    assert nearest(word, KEYS) == meant


def test_a_suggestion_ends_a_sentence_or_is_nothing() -> None:
    assert did_you_mean("timeot", KEYS) == '; did you mean "timeout"?'
    assert did_you_mean("colour", KEYS) == ""
