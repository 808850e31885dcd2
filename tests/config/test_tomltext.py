"""TOML with positions: the values are the parser's own, and every key has its line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config.tomltext import Path, read_toml

DOCUMENT = """\
# a comment with [brackets] = "and quotes
top = 1

[supervisor]
max_running = 3   # why
"quoted key" = "a # no comment"

[jobs.backup]
command = [
  "tar",  # a comment in a list ]
  "-c", "]",
]
env = { A = "1", "B c" = "}" }
params.shard.min = 1
params.shard.max = 8
description = \"\"\"
[jobs.not-a-table]
x = 1
\"\"\"
stop.'signal' = 'TERM'

  [jobs."two words"]
  shell = '''
a = b
'''

[[hooks]]
url = "a"
[[hooks]]
url = "b"
  [hooks.more]
  deep = true
"""

LINES: list[tuple[Path, int]] = [
    (("top",), 2),
    (("supervisor",), 4),
    (("supervisor", "max_running"), 5),
    (("supervisor", "quoted key"), 6),
    (("jobs",), 8),
    (("jobs", "backup"), 8),
    (("jobs", "backup", "command"), 9),
    (("jobs", "backup", "command", 0), 10),
    (("jobs", "backup", "command", 2), 11),
    (("jobs", "backup", "env", "B c"), 13),
    (("jobs", "backup", "params", "shard"), 14),
    (("jobs", "backup", "params", "shard", "max"), 15),
    (("jobs", "backup", "description"), 16),
    (("jobs", "backup", "stop", "signal"), 20),
    (("jobs", "two words"), 22),
    (("jobs", "two words", "shell"), 23),
    (("hooks", 0, "url"), 28),
    (("hooks", 1, "url"), 30),
    (("hooks", 1, "more", "deep"), 32),
]


@pytest.mark.parametrize(("path", "line"), LINES)
def test_every_key_has_its_line(path: Path, line: int) -> None:
    assert read_toml(DOCUMENT).lines[path] == line


def test_the_values_are_those_of_the_standard_parser() -> None:
    toml = read_toml(DOCUMENT)

    assert toml.values == tomllib.loads(DOCUMENT)
    assert toml.faults == ()
    assert ("jobs", "not-a-table") not in toml.lines


def test_what_is_not_there_is_looked_for_in_what_is_around_it() -> None:
    toml = read_toml(DOCUMENT)

    assert toml.line_of(("jobs", "backup", "nothing", "here")) == 8
    assert toml.line_of(("nowhere",)) == 1


def test_lines_are_counted_the_same_with_windows_line_ends() -> None:
    text = DOCUMENT.replace("\n", "\r\n")

    assert dict(LINES).items() <= read_toml(text).lines.items()


def test_every_repeated_key_is_told_with_the_line_it_repeats() -> None:
    text = """\
[jobs.a]
timeout = 1
timeout = 2
env = { X = "1", X = "2" }
[jobs.b]
shell = "x"
[jobs.a]
shell = "y"
shell = "z"
"""
    assert read_toml(text).faults == (
        (3, ("jobs", "a", "timeout"), "is given twice, first on line 2"),
        (4, ("jobs", "a", "env", "X"), "is given twice, first on line 4"),
        (7, ("jobs", "a"), "is given twice, first on line 1"),
    )


def test_a_repeated_key_counts_the_first_time_and_the_rest_is_read() -> None:
    toml = read_toml('[a]\nx = 1\nx = [\n  2,\n]\ny = 3\n[b]\n[a]\nz = 1\n[c]\nw = "w"\n')

    assert toml.values == {"a": {"x": 1, "y": 3}, "b": {}, "c": {"w": "w"}}
    assert [line for line, _, _ in toml.faults] == [3, 8]
    assert toml.lines["c", "w"] == 11


def test_what_the_scanner_cannot_see_as_repeated_the_parser_still_refuses() -> None:
    toml = read_toml("[a]\nb.c = 1\nb = 2\n")

    assert toml.values == {}
    assert [line for line, _, _ in toml.faults] == [3]


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "{a=" * 100_000, "a=" + "1" * 5000]
)
def test_no_text_is_too_much(text: str) -> None:
    """Deep nesting and endless numbers are faults like others."""
    toml = read_toml(text)

    assert toml.values == {}
    assert len(toml.faults) == 1


# --- any document ------------------------------------------------------------------------------

BARE = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
SCALARS = st.one_of(st.integers(-1000, 1000), st.booleans(), ANY_TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BARE | ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
TABLES = st.dictionaries(
    BARE | ANY_TEXT, st.dictionaries(BARE | ANY_TEXT, VALUES, max_size=4), max_size=4
)
FILLER = st.lists(st.sampled_from(["\n", "# [x] = 'y\n", "  \t\n", "#\n"]), max_size=3).map("".join)


def written_key(key: str) -> str:
    """A key in a form that is always legal."""
    return json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(value: object) -> str:
    """A value as TOML."""
    match value:
        case dict():
            inner = ", ".join(
                f"{written_key(key)} = {written(item)}" for key, item in value.items()
            )
            return f"{{ {inner} }}"
        case list():
            return f"[{', '.join(written(item) for item in value)}]"
        case _:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def paths(value: object, at: Path = ()) -> Iterator[Path]:
    """The path of everything in a value."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*at, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from paths(item, (*at, place))


@given(TABLES, st.data())
def test_any_document_s_keys_are_found_on_the_lines_they_were_written(
    tables: dict[str, dict[str, object]], data: st.DataObject
) -> None:
    text = ""
    lines: dict[Path, int] = {}
    for table, pairs in tables.items():
        text += data.draw(FILLER)
        lines[table,] = text.count("\n") + 1
        text += f"[{written_key(table)}]\n"
        for key, value in pairs.items():
            text += data.draw(FILLER)
            lines[table, key] = text.count("\n") + 1
            text += f"{written_key(key)} = {written(value)}\n"

    toml = read_toml(text)

    assert toml.values == tables
    assert toml.faults == ()
    assert lines.items() <= toml.lines.items()
    assert set(paths(tables)) == set(toml.lines)


@given(st.text(alphabet="ab1.=[]{},#\"'\\\n \t\r") | st.text())
def test_any_text_is_read_or_has_faults_with_lines(text: str) -> None:
    toml = read_toml(text)

    try:
        assert toml.values == tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert toml.faults
    else:
        assert toml.faults == ()
        assert set(paths(toml.values)) <= set(toml.lines)
    assert all(1 <= line <= text.count("\n") + 1 for line, _, _ in toml.faults)


@given(st.data())
def test_a_damaged_document_has_faults_or_is_another_document(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(DOCUMENT)))
    length = data.draw(st.integers(0, 3))
    text = DOCUMENT[:place] + data.draw(st.text(max_size=2)) + DOCUMENT[place + length :]

    toml = read_toml(text)

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert toml.faults
    else:
        assert toml.faults == ()
        assert toml.values == values
        assert set(paths(values)) <= set(toml.lines)
