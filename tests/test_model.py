"""What other programs and stored files rely on in the model."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from supervisor import model, queue, wire
from supervisor.model import Reason, Status, Stream

STRUCTS = [
    struct
    for module in (model, wire, queue)
    for _, struct in inspect.getmembers(module, inspect.isclass)
    if issubclass(struct, msgspec.Struct) and struct.__module__ == module.__name__
]


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_value_is_frozen(struct: type[msgspec.Struct]) -> None:
    assert struct.__struct_config__.frozen


def test_the_names_of_the_statuses_are_fixed() -> None:
    assert set(Status) == {"queued", "running", "succeeded", "failed", "cancelled"}


def test_the_names_of_the_reasons_are_fixed() -> None:
    assert set(Reason) == {
        "exit_code",
        "signal",
        "timeout",
        "queue_timeout",
        "no_output_timeout",
        "start_failed",
        "memory_limit",
        "output_limit",
        "need_failed",
        "refused",
        "lost",
        "internal",
    }


def test_stream_numbers_are_those_in_stored_logs() -> None:
    assert {stream.label: int(stream) for stream in Stream} == {"stdout": 1, "stderr": 2}
