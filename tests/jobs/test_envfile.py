"""Files of environment variables: what stands in them, and what is told of a mistake."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadValue
from supervisor.jobs.envfile import read_env_file


def test_a_file_as_people_write_it() -> None:
    content = b"""\
# the database
DB_HOST=db.example.com
DB_NAME = orders

export API_KEY='a b#$c'
GREETING="one\\ntwo \\"quoted\\" \\$HOME"
EMPTY=
AS_IT_IS=a # no comment, $HOME "x"
DB_HOST=later
"""
    assert read_env_file(content) == {
        "DB_HOST": "later",
        "DB_NAME": "orders",
        "API_KEY": "a b#$c",
        "GREETING": 'one\ntwo "quoted" $HOME',
        "EMPTY": "",
        "AS_IT_IS": 'a # no comment, $HOME "x"',
    }


def test_bytes_stay_what_they_are() -> None:
    [value] = read_env_file(b"RAW=\xff\xfe \xc3\xbc\r\n").values()
    assert os.fsencode(value) == b"\xff\xfe \xc3\xbc"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nhunter2\n", "line 2: must be NAME=VALUE"),
        (b"=hunter2", "line 1: must be NAME=VALUE"),
        (b"A B=hunter2", "line 1: must be NAME=VALUE"),
        (b"A='hunter2", "line 1: a quote is not closed"),
        (b'A="', "line 1: a quote is not closed"),
        (b"A=hunter2\0", "line 1: must not contain a NUL character"),
        (b"\nRUNWIRE_RUN_ID=hunter2", "line 2: names that begin with RUNWIRE_ are set by Runwire"),
    ],
)
def test_a_mistake_is_told_by_its_line_and_never_tells_the_value(
    content: bytes, message: str
) -> None:
    with pytest.raises(BadValue, match=re.escape(message)) as refused:
        read_env_file(content)
    assert refused.value.field == "env_file"
    assert "hunter2" not in refused.value.message


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="'\n\0"))


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), TEXT))
def test_any_text_may_stand_between_single_quotes(variables: dict[str, str]) -> None:
    variables = {name: value for name, value in variables.items() if name[:8] != "RUNWIRE_"}
    content = "".join(f"{name}='{value}'\n" for name, value in variables.items())
    assert read_env_file(content.encode()) == variables
