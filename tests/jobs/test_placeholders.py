"""Placeholders: `{name}` and nothing else, and whatever else has braces is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.jobs.placeholders import fill, placeholders

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{shard}", "5"),
        ("--shard={shard}", "--shard=5"),
        ("{shard}{shard}", "55"),
        ("{shard}/{name}", "5/a b"),
        ("{{shard}}", "{shard}"),
        ("{{{shard}}}", "{5}"),
        ("{{{{shard}}}}", "{{shard}}"),
        ("{{shard}", "{5"),
        ("{shard}}", "5}"),
        ('{"a": {shard}}', '{"a": 5}'),
        ('{"a":{"b":{shard}}}', '{"a":{"b":5}}'),
        ("{print $1}", "{print $1}"),
        ("{ shard }", "{ shard }"),
        ("{}", "{}"),
        ("{1}", "{1}"),
        ("{a-b}", "{a-b}"),
        ("{shard", "{shard"),
        ("{{.Names}}", "{{.Names}}"),
        ("${HOME}", "$/root"),
        ("{s\u00e4ge}", "{s\u00e4ge}"),
        ("", ""),
    ],
)
def test_only_an_identifier_between_braces_is_replaced(text: str, filled: str) -> None:
    assert fill(text, {"shard": "5", "name": "a b", "HOME": "/root"}) == filled


def test_a_value_is_not_looked_into_again() -> None:
    assert fill("{a}{b}", {"a": "{b}", "b": "{{a}}"}) == "{b}{{a}}"


def test_a_placeholder_without_a_value_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError, match="shard"):
        fill("{shard}", {})


def test_placeholders_are_told_in_order_and_escaped_ones_are_none() -> None:
    assert placeholders("{b} {{c}} {a} {b} {print $1}") == ("b", "a", "b")


@given(st.text())
def test_a_text_without_placeholders_or_doubled_braces_stays_as_it_is(text: str) -> None:
    if not placeholders(text) and "{{" not in text:
        assert fill(text, {}) == text


@given(st.text(alphabet="{}ab_1 "))
def test_the_names_told_are_exactly_those_needed(text: str) -> None:
    needed = dict.fromkeys(placeholders(text), "x")

    fill(text, needed)
    for name in needed:
        with pytest.raises(KeyError):
            fill(text, {other: "x" for other in needed if other != name})


@given(NAMES, st.text(), st.text(alphabet="ab $\"'"), st.text(alphabet="ab $\"'"))
def test_any_value_arrives_whole_in_its_place(
    name: str, value: str, before: str, after: str
) -> None:
    assert fill(f"{before}{{{name}}}{after}", {name: value}) == before + value + after


@given(NAMES, st.text(alphabet="ab $"))
def test_doubled_braces_give_the_text_itself(name: str, around: str) -> None:
    assert fill(f"{around}{{{{{name}}}}}", {}) == f"{around}{{{name}}}"
