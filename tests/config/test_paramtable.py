"""The parameters of a job in jobs.toml: typed, bounded, and told off with a hint."""

from __future__ import annotations

import pytest

from supervisor.config.paramtable import read_params
from supervisor.config.tomltable import Notes, Table
from supervisor.config.tomltext import read_toml
from supervisor.spec import Param, ParamKind


def read(text: str) -> tuple[dict[str, Param], tuple[str, ...]]:
    """The parameters that a text has at top level, and what is wrong with them."""
    toml = read_toml(text)
    notes = Notes("f", toml)
    params = read_params(Table(toml.values, (), notes))
    return params, notes.mistakes()


def test_parameters_are_read_in_their_order_with_all_their_keys() -> None:
    params, mistakes = read("""\
shard = { type = "int", min = 1, max = 8, default = 3, description = "which part" }
ratio = { type = "float", min = 0.5, default = 1 }
day = { pattern = '\\d+', default = "5" }
dry = { type = "bool", default = false }
size = { type = "choice", choices = ["s", "l"], default = "l" }
name = {}
""")

    assert mistakes == ()
    assert list(params) == ["shard", "ratio", "day", "dry", "size", "name"]
    assert params["shard"] == Param(
        type=ParamKind.INT, min=1, max=8, default=3, description="which part"
    )
    assert params["ratio"] == Param(type=ParamKind.FLOAT, min=0.5, default=1.0)
    assert params["day"] == Param(type=ParamKind.STRING, pattern=r"\d+", default="5")
    assert params["dry"] == Param(type=ParamKind.BOOL, default=False)
    assert params["size"] == Param(type=ParamKind.CHOICE, choices=("s", "l"), default="l")
    assert params["name"] == Param(type=ParamKind.STRING)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'x = { type = "integer" }',
            (
                'key x.type: there is no type "integer", only string, int, float, bool, choice; '
                'did you mean "int"?'
            ),
        ),
        ("x = { type = 5 }", "key x.type: must be a string, not 5"),
        ('x = "int"', 'key x: must be a table, such as x = { type = "int" }, not "int"'),
        ("x = { min = 1 }", 'key x.min: is only for type = "int" or "float", this is "string"'),
        (
            'x = { type = "int", pattern = "a" }',
            'key x.pattern: is only for type = "string", this is "int"',
        ),
        (
            'x = { choices = ["a"] }',
            'key x.choices: is only for type = "choice", this is "string"',
        ),
        ('x = { type = "choice" }', 'key x: needs choices, such as choices = ["small", "large"]'),
        (
            'x = { type = "choice", choices = [] }',
            'key x: needs choices, such as choices = ["small", "large"]',
        ),
        (
            'x = { type = "int", min = 5, max = 1 }',
            "key x.min: min 5 is above max 1",
        ),
        ('x = { type = "int", min = "1" }', 'key x.min: must be a number, not "1"'),
        ('x = { type = "float", max = nan }', "key x.max: must be a number, not NaN"),
        (
            'x = { type = "int", max = 1, default = 5 }',
            "key x.default: must be a whole number of at most 1, not 5",
        ),
        (
            'x = { type = "int", default = "5" }',
            'key x.default: must be a whole number, not "5"',
        ),
        ("x = { default = 5 }", "key x.default: must be a string, not 5"),
        ("x = { pattern = '(' }", "key x.pattern: is not a regular expression: missing )"),
        ("x = { pattern = '[[a]' }", "key x.pattern: is not a regular expression: Possible nested"),
        ("x = { pattern = 5 }", "key x.pattern: must be a regular expression in a string, not 5"),
        ("x = { defualt = 5 }", 'key x.defualt: there is no such key; did you mean "default"?'),
        ("a-b = {}", "key a-b: a parameter's name is made of letters, digits and _, no digit"),
        (
            "ab = {}\nAB = {}",
            "key AB: ab and AB would both be RUNWIRE_PARAM_AB in the environment",
        ),
    ],
)
def test_a_parameter_that_makes_no_sense_is_a_mistake(line: str, message: str) -> None:
    _, mistakes = read(line)

    assert len(mistakes) == 1
    assert mistakes[0].partition(": ")[2].startswith(message)
