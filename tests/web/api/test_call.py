"""Bodies and queries become values, or errors that name what is wrong."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadRequest, BadValue
from supervisor.wire import CancelRequest, SignalRequest, SubmitRequest
from web.api.call import decode_body, decode_query
from web.api.log import LogQuery
from web.api.runs import ListQuery, cursor_of, seq_of


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b'{"id": 5}', "id", "id: expected `str`, got `int`"),
        (b'{"command": ["a", 1]}', "command[1]", "command[1]: expected `str`, got `int`"),
        (b'{"stop": {"grave": 1}}', "stop.grave", "there is no stop.grave"),
        (b'{"comand": ["a"]}', "comand", 'there is no comand; did you mean "command"?'),
        (b'{"priority": 1.5}', "priority", "priority: expected a whole number, got `float`"),
        (b'{"timeout": 1e999}', "timeout", "timeout: number out of range"),
        (b"[]", None, "expected an object, got `array`"),
        (b"null", None, "expected an object, got `null`"),
    ],
)
def test_a_value_that_cannot_be_names_its_field(body: bytes, field: str | None, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        decode_body(body, SubmitRequest)
    assert (caught.value.field, caught.value.message) == (field, said)


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"", b'{"timeout": NaN}', b'{"id": "x"} more', b"{'id': 1}", b'"\\ud800"'],
)
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    with pytest.raises(BadRequest, match="the body is not JSON"):
        decode_body(body, SubmitRequest)


@given(st.binary(max_size=200))
def test_any_body_is_a_value_or_an_error_of_ours(body: bytes) -> None:
    for kind in (SubmitRequest, CancelRequest, SignalRequest):
        with suppress(BadRequest, BadValue):
            assert isinstance(decode_body(body, kind), kind)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "",
        " 5",
        "5 ",
        "+5",
        "1_000",
        "0x10",
        "\u0665",
        "\uff15",
        "nan",
        "inf",
        "1.5",
        "9" * 19,
        "9" * 5000,
        "-" + "9" * 19,
        "--1",
        "0,5",
        "5;",
        "null",
        "true",
    ],
)
def test_an_offset_is_a_plain_number_that_fits(value: str) -> None:
    with pytest.raises(BadValue) as caught:
        decode_query({"from": [value]}, LogQuery)
    assert caught.value.field == "from"


def test_offsets_may_be_as_large_as_a_file_can_be_and_negative() -> None:
    assert decode_query({"from": [str(2**63 - 1)]}, LogQuery).start == 2**63 - 1
    assert decode_query({"from": ["-10"]}, LogQuery).start == -10


@pytest.mark.parametrize(("value", "follow"), [("1", True), ("true", True), ("0", False)])
def test_a_flag_is_1_or_0(value: str, *, follow: bool) -> None:
    assert decode_query({"follow": [value]}, LogQuery).follow is follow


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"follow": ["yes"]}, "follow"),
        ({"stream": ["stdin"]}, "stream"),
        ({"from": ["1", "2"]}, "from"),
        ({"form": ["1"]}, "form"),
    ],
)
def test_a_query_that_cannot_be_names_its_parameter(
    query: dict[str, list[str]], field: str
) -> None:
    with pytest.raises(BadValue) as caught:
        decode_query(query, LogQuery)
    assert caught.value.field == field


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1e9", "a"])
def test_a_page_has_1_to_1000_runs(limit: str) -> None:
    with pytest.raises(BadValue) as caught:
        decode_query({"limit": [limit]}, ListQuery)
    assert caught.value.field == "limit"


def test_several_statuses_are_one_condition() -> None:
    query = decode_query({"status": ["queued", "running"]}, ListQuery)
    assert query.status == ("queued", "running")
    with pytest.raises(BadValue) as caught:
        decode_query({"status": ["queued", "started"]}, ListQuery)
    assert caught.value.field == "status[1]"


@given(st.integers(0, 2**63 - 1))
def test_a_cursor_leads_back_to_its_page(seq: int) -> None:
    assert seq_of(cursor_of(seq)) == seq


@pytest.mark.parametrize("cursor", ["", "5", "x" * 11, "=" * 11, "AAAAAAAAAAA=", "é", "A" * 4000])
def test_a_cursor_we_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(BadValue) as caught:
        seq_of(cursor)
    assert caught.value.field == "before"
