"""Parameters: a value of the right type within its bounds, or a refusal that names the field."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadValue
from supervisor.jobs.params import bind_params, check_value, describe, shown, to_text, variable
from supervisor.spec import Job, Param, ParamKind, ParamValue

SHARD = Param(type=ParamKind.INT, min=1, max=8, default=1)
RATIO = Param(type=ParamKind.FLOAT, min=0, default=0.5)
DRY = Param(type=ParamKind.BOOL, default=False)
DAY = Param(type=ParamKind.STRING, pattern=r"\d{4}-\d\d", default="2025-01")
SIZE = Param(type=ParamKind.CHOICE, choices=("small", "large"), default="small")
NAME = Param(type=ParamKind.STRING)


def job(**params: Param) -> Job:
    """A job with these parameters."""
    return Job(name="import", command=("true",), cwd="/", params=params)


def test_what_is_not_given_has_its_default() -> None:
    bound = bind_params(job(shard=SHARD, dry=DRY, size=SIZE), {"shard": 3})

    assert bound == {"shard": 3, "dry": False, "size": "small"}


def test_a_job_without_parameters_binds_nothing() -> None:
    assert bind_params(job(), {}) == {}


def test_values_come_in_the_order_of_the_job() -> None:
    bound = bind_params(job(a=NAME, b=NAME), {"b": "2", "a": "1"})

    assert list(bound) == ["a", "b"]


@pytest.mark.parametrize(
    ("param", "given_value", "value"),
    [
        (SHARD, 5, 5),
        (SHARD, "5", 5),
        (SHARD, "+5", 5),
        (RATIO, 2, 2.0),
        (RATIO, "2", 2.0),
        (RATIO, ".5", 0.5),
        (RATIO, "1e-3", 0.001),
        (DRY, True, True),
        (DRY, "true", True),
        (DRY, "false", False),
        (DAY, "2025-12", "2025-12"),
        (SIZE, "large", "large"),
        (NAME, "5", "5"),
        (NAME, "", ""),
        (NAME, "{x} $(y) 'z'", "{x} $(y) 'z'"),
        (Param(type=ParamKind.INT), -(2**63), -(2**63)),
        (Param(type=ParamKind.INT), str(2**63 - 1), 2**63 - 1),
    ],
)
def test_a_value_may_be_typed_or_the_text_a_command_line_has(
    param: Param, given_value: ParamValue, value: ParamValue
) -> None:
    bound = bind_params(job(x=param), {"x": given_value})["x"]

    assert bound == value
    assert type(bound) is type(value)


@pytest.mark.parametrize(
    ("param", "value", "message"),
    [
        (SHARD, 9, "must be a whole number from 1 to 8, not 9"),
        (SHARD, "0", "must be a whole number from 1 to 8, not 0"),
        (SHARD, 2.0, "must be a whole number from 1 to 8, not 2.0"),
        (SHARD, True, "must be a whole number from 1 to 8, not true"),
        (SHARD, "five", 'must be a whole number from 1 to 8, not "five"'),
        (SHARD, "1_0", 'must be a whole number from 1 to 8, not "1_0"'),
        (SHARD, " 5", 'must be a whole number from 1 to 8, not " 5"'),
        (SHARD, "\u0665", 'must be a whole number from 1 to 8, not "\u0665"'),
        pytest.param(SHARD, "9" * 5000, "must be a whole number from 1 to 8, not", id="long"),
        (Param(type=ParamKind.INT), 2**63, "must be a whole number, not 9223372036854775808"),
        (RATIO, "-1", "must be a number of at least 0, not -1"),
        (RATIO, -1, "must be a number of at least 0, not -1"),
        (RATIO, "nan", 'must be a number of at least 0, not "nan"'),
        (RATIO, "1e999", "must be a number of at least 0, not Infinity"),
        (RATIO, math.nan, "must be a number of at least 0, not NaN"),
        (RATIO, math.inf, "must be a number of at least 0, not Infinity"),
        pytest.param(
            Param(type=ParamKind.FLOAT),
            10**5000,
            "must be a number, not a number of more than 30",
            id="huge",
        ),
        (DRY, 1, "must be true or false, not 1"),
        (DRY, "yes", 'must be true or false, not "yes"'),
        (DAY, "2025-1", 'must be a string matching \\d{4}-\\d\\d, not "2025-1"'),
        (DAY, "2025-01\n", 'must be a string matching \\d{4}-\\d\\d, not "2025-01\\n"'),
        (DAY, 5, "must be a string matching \\d{4}-\\d\\d, not 5"),
        (SIZE, "larg", 'must be one of small, large, not "larg"; did you mean "large"?'),
        (SIZE, False, "must be one of small, large, not false"),
        (NAME, "a\0b", "must not contain a NUL character"),
        (NAME, "\ud800", "is not valid text"),
        pytest.param(NAME, "x" * 65537, "is too long: 65537 bytes, 65536 are allowed", id="big"),
        pytest.param(NAME, "\u00e4" * 32769, "is too long: 65538 bytes", id="big in bytes"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_for_its_field(
    param: Param, value: ParamValue, message: str
) -> None:
    with pytest.raises(BadValue) as caught:
        bind_params(job(x=param), {"x": value})

    assert caught.value.message.startswith(message)
    assert caught.value.field == "params.x"


def test_a_parameter_without_default_must_be_given() -> None:
    with pytest.raises(BadValue, match=r"must be given \(a string\)") as caught:
        bind_params(job(name=NAME), {})

    assert caught.value.field == "params.name"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"shard": SHARD}, 'job import has no parameter "shrad"; did you mean "shard"?'),
        ({"dry": DRY, "day": DAY}, 'job import has no parameter "shrad"; it has dry, day'),
        ({}, "job import has no parameters"),
    ],
)
def test_an_unknown_parameter_is_refused_with_those_there_are(
    params: dict[str, Param], message: str
) -> None:
    with pytest.raises(BadValue) as caught:
        bind_params(job(**params), {"shrad": 1})

    assert caught.value.message == message
    assert caught.value.field == "params.shrad"


def test_only_a_command_line_may_give_numbers_as_text() -> None:
    """A default in a file has types of its own: `"5"` there is a mistake."""
    with pytest.raises(BadValue):
        check_value(SHARD, "5")


@given(
    st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
def test_a_value_shown_as_text_binds_to_itself(value: ParamValue) -> None:
    kind = {bool: ParamKind.BOOL, int: ParamKind.INT, float: ParamKind.FLOAT}[type(value)]

    assert bind_params(job(x=Param(type=kind)), {"x": to_text(value)}) == {"x": value}


@given(
    st.text() | st.integers() | st.floats() | st.booleans(),
    st.sampled_from([SHARD, RATIO, DRY, DAY, SIZE, NAME]),
)
def test_whatever_is_given_is_bound_within_bounds_or_refused(
    value: ParamValue, param: Param
) -> None:
    try:
        bound = bind_params(job(x=param), {"x": value})["x"]
    except BadValue as error:
        refused = error.field
    else:
        assert check_value(param, bound) == bound
        return
    assert refused == "params.x"


@pytest.mark.parametrize(
    ("param", "text"),
    [
        (SHARD, "a whole number from 1 to 8"),
        (RATIO, "a number of at least 0"),
        (Param(type=ParamKind.INT, max=-1), "a whole number of at most -1"),
        (DRY, "true or false"),
        (NAME, "a string"),
        (SIZE, "one of small, large"),
    ],
)
def test_a_parameter_is_described_in_words(param: Param, text: str) -> None:
    assert describe(param) == text


def test_the_environment_carries_a_parameter_under_its_upper_case_name() -> None:
    assert variable("shard_no") == "RUNWIRE_PARAM_SHARD_NO"


def test_a_long_value_is_cut_in_messages() -> None:
    assert len(shown("x" * 500)) == 60
