"""Faults of TOML: each says what to write, where its writer has to write it."""

from __future__ import annotations

import pytest

from supervisor.config.tomltext import Path, read_toml

NOT_TOML = "not valid TOML: "


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("timeout = 10m", 1, ("timeout",), 'text needs quotes: "10m" (column 13)'),
        ("a = echo hi", 1, ("a",), 'text needs quotes, such as "echo" (column 5)'),
        ("a = /bin/ls\n", 1, ("a",), 'text needs quotes, such as "/bin/ls" (column 5)'),
        ("a = ./x", 1, ("a",), 'text needs quotes, such as "./x" (column 5)'),
        ("a = .5", 1, ("a",), "write 0.5 (column 5)"),
        ("a = 007", 1, ("a",), "a number cannot begin with 0 (column 6)"),
        ("a = True", 1, ("a",), "write true or false, in small letters (column 5)"),
        ("a = yes", 1, ("a",), "write true or false, in small letters (column 5)"),
        ("a = null", 1, ("a",), "there is no null in TOML; leave the key out (column 5)"),
        ("a =", 1, ("a",), "there is no value"),
        ("a = # nothing\n", 1, ("a",), "there is no value (column 5)"),
        ("a = \u201cx\u201d", 1, ("a",), 'use straight quotes, "like this" (column 5)'),
        ("a = 'it's'", 1, ("a",), "the string ends at its second '; write it in double quotes"),
        ('a = "x" "y"', 1, ("a",), 'the string ends at its second "; write \\" for one inside'),
        ("a = 1, # x", 1, ("a",), 'nothing may follow on the line, but there is ", # x"'),
        ("[jobs.a] x", 1, ("jobs", "a"), 'nothing may follow on the line, but there is "x"'),
        ("timeout: 5", 1, ("timeout",), "write KEY = VALUE, with = and not : (column 8)"),
        ("word", 1, ("word",), "write KEY = VALUE"),
        ("a b = 1", 1, ("a",), "a key of other than A-Z, a-z, 0-9, _ and - needs quotes"),
        ("\n\u00e4 = 1", 2, (), "a key of other than A-Z, a-z, 0-9, _ and - needs quotes"),
        ('a = "x', 1, ("a",), "the string is not closed"),
        ('a = "x\nb = 1', 1, ("a",), "the string is not closed (column 7)"),
        ('x = 1\na = """x\n\n', 2, ("a",), "not closed, or a comma is missing, before the end"),
        ('a = "\\d"', 1, ("a",), "write \\\\ for a backslash, or the string in single quotes"),
        ('a = "\x07"', 1, ("a",), "illegal character '\\x07'"),
        ('a = ["x"', 1, ("a",), "the list is not closed with ], or a comma is missing"),
        ('a = [1 "x"]', 1, ("a",), "the list is not closed with ], or a comma is missing"),
        ('a = ["x"\nb = 1', 1, ("a",), "not closed, or a comma is missing, before line 2"),
        ('a = ["x",\nb = 1', 1, ("a",), "not closed, or a comma is missing, before line 2"),
        ('a = [\n"x"\n"y"\n]', 1, ("a",), "not closed, or a comma is missing, before line 3"),
        ('a = [\n"x",\n y,\n]', 3, ("a",), 'text needs quotes, such as "y" (column 2)'),
        ("a = {b = 1", 1, ("a",), "the braces are not closed on their line, or a comma is missing"),
        ("a = {b = 1\n}", 1, ("a",), "the braces are not closed on their line"),
        ("a = {b = 1,}", 1, ("a",), "no comma may stand before } (column 12)"),
        ("[jobs.a\nb = 1", 1, ("jobs", "a"), "the table's name is not closed with ] (column 8)"),
        ("[]", 1, (), "write a table's name in brackets, such as [jobs.backup] (column 2)"),
        ("a = {}\na.b = 1", 2, ("a", "b"), "the same key stands here twice, or once as a value"),
        ("[a]\nb = 1\n[a.b.c]\n", 3, ("a", "b", "c"), "the same key stands here twice, or once"),
    ],
)
def test_a_fault_says_what_to_write_and_where(
    text: str, line: int, path: Path, message: str
) -> None:
    faults = read_toml(text).faults

    assert [(at, key) for at, key, _ in faults] == [(line, path)]
    assert faults[0][2].startswith(NOT_TOML + message)


def test_a_fault_after_a_repeated_key_is_told_too() -> None:
    faults = read_toml("a = 1\na = 2\nb =\n").faults

    assert [line for line, _, _ in faults] == [2, 3]
