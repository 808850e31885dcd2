"""Tables read key by key: good values come through, and every mistake is told in file order."""

from __future__ import annotations

import pytest

from supervisor.config.tomltable import Notes, Table, dotted
from supervisor.config.tomltext import read_toml
from supervisor.units import parse_duration


def opened(text: str) -> tuple[Table, Notes]:
    """The table `[web]` of a text, and what is noted about it."""
    toml = read_toml(text)
    notes = Notes("f.toml", toml)
    return Table(toml.values, (), notes).table("web"), notes


GOOD = """\
[web]
name = "x"
on = true
count = 3
items = ["a", "b"]
wait = "5s"
inner = { deep = 1 }
"""


def test_good_values_come_through() -> None:
    table, notes = opened(GOOD)

    assert table.string("name", None) == "x"
    assert table.flag("on", default=False) is True
    assert table.whole("count", 0, least=1, most=3) == 3
    assert table.strings("items") == ("a", "b")
    assert table.parsed("wait", parse_duration, 0.0) == 5.0
    assert table.table("inner").whole("deep", 0, least=0) == 1
    table.close()
    assert notes.mistakes() == ()


def test_what_is_absent_has_its_default() -> None:
    table, notes = opened("[web]")

    assert table.string("name", None) is None
    assert table.flag("on", default=True) is True
    assert table.whole("count", 7, least=1) == 7
    assert table.strings("items") is None
    assert table.parsed("wait", parse_duration, 1.5) == 1.5
    assert table.table("inner").names() == []
    assert "name" not in table
    assert notes.mistakes() == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("name = 5", "key name: must be a string, not 5"),
        ("name = [1]", "key name: must be a string, not a list"),
        ("name = 2025-01-02", "key name: must be a string, not a date or time"),
        ("on = 'yes'", 'key on: must be true or false, not "yes"'),
        ("on = 1", "key on: must be true or false, not 1"),
        ("count = 1.0", "key count: must be a whole number, not 1.0"),
        ("count = true", "key count: must be a whole number, not true"),
        ("count = 0", "key count: must be from 1 to 3, not 0"),
        ("count = 4", "key count: must be from 1 to 3, not 4"),
        ("items = 'a'", 'key items: must be a list of strings, not "a"'),
        ("items = ['a', 2]", "key items[1]: must be a string, not 2"),
        ("wait = 'x'", 'key wait: "x" is not a duration'),
        ("inner = 1", "key inner: must be a table, not 1"),
        ("inner.deep = ''", 'key inner.deep: must be a whole number, not ""'),
        ("many = 0", "key many: must be 1 or more, not 0"),
        ("many = 9999999999", "key many: must be from 1 to 2147483647, not 9999999999"),
        ("naem = 1", 'key naem: there is no such key; did you mean "name"?'),
        ("label = 1", 'key label: there is no such key; did you mean "name"?'),
        (
            "zzz = 1",
            ("key zzz: there is no such key; there is name, on, count, many, items, wait, inner"),
        ),
    ],
)
def test_a_bad_value_is_told_at_its_line_and_reading_goes_on(line: str, message: str) -> None:
    table, notes = opened(f"\n[web]\n{line}\n")

    table.string("name", "")
    table.flag("on", default=False)
    table.whole("count", 1, least=1, most=3)
    table.whole("many", 1, least=1)
    table.strings("items")
    table.parsed("wait", parse_duration, 0.0)
    table.table("inner").whole("deep", 0, least=0)
    table.close({"label": "name"})

    assert len(notes.mistakes()) == 1
    assert notes.mistakes()[0].startswith(f"f.toml:3: [web]: {message}")


def test_notes_are_in_file_order_without_repeats_and_warnings_apart() -> None:
    table, notes = opened("[web]\na = 1\nb = 2\nc = 3\n")

    table.wrong("second", "b")
    table.wrong("first", "a")
    table.wrong("second", "b")
    table.odd("strange", "c")

    assert notes.mistakes() == (
        "f.toml:2: [web]: key a: first",
        "f.toml:3: [web]: key b: second",
    )
    assert notes.warnings() == ("f.toml:4: [web]: key c: strange",)


def test_a_job_s_keys_are_named_with_their_job() -> None:
    notes = Notes("f.toml", read_toml("[jobs.a]\nstop.grace = 1\n"))

    notes.mistake(("jobs", "a", "stop", "grace"), "bad")
    notes.mistake(("jobs", "a"), "worse")

    assert notes.mistakes() == (
        "f.toml:1: job a: worse",
        "f.toml:2: job a: key stop.grace: bad",
    )


def test_a_key_path_is_written_as_in_a_file() -> None:
    assert dotted(("params", "shard", "choices", 2)) == "params.shard.choices[2]"
