"""The messages of a stream: what is said is what docs/protocol.md tells, and garbage is refused."""

from __future__ import annotations

import codecs
import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import messages
from supervisor.errors import BadRequest
from supervisor.messages import Ack, Auth, Hello, Pong, Seek, TextDecoder, decode_client_message
from supervisor.model import (
    SYSTEM,
    Cancelled,
    Dispatched,
    Entry,
    Event,
    Failed,
    Moment,
    ProgramExited,
    Reason,
    Requeued,
    Started,
    Status,
    StopRequest,
    StopRequested,
    Stream,
    Submitted,
    Succeeded,
)
from supervisor.outcome import Exited, StopCause
from supervisor.spec import RunSpec, StopPolicy
from supervisor.wire import EventView

# --- text ----------------------------------------------------------------------------------------

BYTES = st.lists(
    st.sampled_from(["é".encode(), "€".encode(), "😀".encode(), b"\xe2\x82", b"\xf0", b"a"])
    | st.binary(max_size=3)
).map(b"".join)


@given(BYTES, st.data())
def test_cuts_change_nothing_of_the_text(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=5)))
    decoder = TextDecoder()
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert "".join(map(decoder.feed, pieces)) + decoder.finish() == data.decode(errors="replace")


@given(BYTES, BYTES)
def test_a_decoder_seeded_with_three_bytes_goes_on_like_one_that_saw_all(
    before: bytes, after: bytes
) -> None:
    whole = codecs.getincrementaldecoder("utf-8")("replace")
    whole.decode(before)
    seeded = TextDecoder(before[-messages.SEED_BYTES :])
    assert seeded.feed(after) == whole.decode(after)
    assert seeded.finish() == whole.decode(b"", final=True)


# --- from the server -----------------------------------------------------------------------------


def test_output_has_its_place_and_its_time() -> None:
    said = json.loads(
        messages.output_message(Stream.STDERR, "é\0", offset=7, until=10, time_us=1_500_000)
    )
    assert said == {
        "type": "stderr",
        "data": "é\0",
        "offset": 7,
        "next": 10,
        "time": "1970-01-01T00:00:01.500000Z",
    }


@given(st.integers(0, 4_102_444_800_000_000))
def test_times_are_exact_to_the_microsecond(time_us: int) -> None:
    shown = datetime.fromisoformat(messages.time_text(time_us))
    assert (shown - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution == time_us


def status(event: Event, before: Status = Status.RUNNING) -> dict[str, object]:
    entry = Entry("r", Moment(datetime(2026, 1, 2, tzinfo=UTC), 1, "b"), SYSTEM, event, 5)
    view = EventView(seq=9, run_seq=3, version=1, entry=entry)
    said: dict[str, object] = json.loads(msgspec.json.encode(messages.status_message(view, before)))
    return said


STOP = StopRequest(StopCause.CANCEL, StopPolicy(signal="INT", grace_s=2.5), SYSTEM, force=False)
KILL = StopRequest(StopCause.TIMEOUT, StopPolicy(), SYSTEM, force=True)
EVENTS: list[tuple[Event, Status, Status, str, dict[str, object]]] = [
    (Submitted(RunSpec(argv=("x",), cwd="/")), Status.QUEUED, Status.QUEUED, "queued", {}),
    (Dispatched("local"), Status.QUEUED, Status.QUEUED, "starting", {}),
    (Requeued("why"), Status.QUEUED, Status.QUEUED, "queued again: why", {}),
    (Started(None), Status.QUEUED, Status.RUNNING, "started", {}),
    (
        StopRequested(STOP),
        Status.RUNNING,
        Status.RUNNING,
        "cancel asked for by runwire: SIGINT, and SIGKILL after 2.5 s",
        {},
    ),
    (
        StopRequested(KILL),
        Status.RUNNING,
        Status.RUNNING,
        "time limit reached: SIGKILL at once",
        {},
    ),
    (
        ProgramExited(exit_code=3, signal=None),
        Status.RUNNING,
        Status.RUNNING,
        "the program ended (exit code 3); its output is still open",
        {"exit_code": 3},
    ),
    (
        Succeeded(outcome=Exited(exit_code=0)),
        Status.RUNNING,
        Status.SUCCEEDED,
        "succeeded",
        {"exit_code": 0},
    ),
    (
        Failed(reason=Reason.SIGNAL, message="killed by SIGKILL", outcome=Exited(signal="KILL")),
        Status.RUNNING,
        Status.FAILED,
        "failed: killed by SIGKILL",
        {"signal": "KILL", "reason": "signal"},
    ),
    (
        Cancelled(message="by you"),
        Status.QUEUED,
        Status.CANCELLED,
        "cancelled: by you",
        {},
    ),
]


@pytest.mark.parametrize(("event", "before", "after", "words", "more"), EVENTS)
def test_a_status_says_what_the_event_made_of_the_run(
    event: Event, before: Status, after: Status, words: str, more: dict[str, object]
) -> None:
    said = status(event, before)
    assert said.pop("event")
    assert said == {
        "type": "status",
        "data": after.value,
        "seq": 3,
        "offset": 5,
        "time": "2026-01-02T00:00:00Z",
        "text": words,
        "by": {"kind": SYSTEM.kind, "name": SYSTEM.name},
        **more,
    }


# --- from the client -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('{"type":"hello"}', Hello()),
        (
            '{"type":"hello","token":"t","from":-5,"streams":["stdout"],"window":9,"seq":2}',
            Hello(token="t", from_=-5, streams=("stdout",), window=9, seq=2),
        ),
        ('{"type":"hello","since":7}', Hello(since=7)),
        ('{"type":"ack","offset":12}', Ack(12)),
        ('{"offset":99999999999999999999999999,"type":"ack"}', Ack(99999999999999999999999999)),
        ('{"type":"seek","from":-1}', Seek(-1)),
        ('{"type":"auth","token":"t"}', Auth("t")),
        ('{"type":"pong"}', Pong()),
    ],
)
def test_what_a_client_may_say(said: str, meant: messages.ClientMessage) -> None:
    assert decode_client_message(said) == meant


GARBAGE: dict[str, str | bytes | None] = {
    "nothing": "",
    "an empty binary message": None,
    "a binary message": b'{"type":"pong"}',
    "no JSON": "hello",
    "no object": '["ack", 1]',
    "no type": '{"offset":1}',
    "an unknown type": '{"type":"stdout","data":"x"}',
    "a type that is no text": '{"type":1}',
    "an unknown field": '{"type":"ack","offset":1,"more":2}',
    "a missing field": '{"type":"ack"}',
    "a float": '{"type":"ack","offset":1.5}',
    "a float that is whole": '{"type":"seek","from":1.0}',
    "a float that is huge": '{"type":"seek","from":1e400}',
    "not a number": '{"type":"ack","offset":NaN}',
    "infinity": '{"type":"ack","offset":-Infinity}',
    "a number as text": '{"type":"ack","offset":"1"}',
    "true": '{"type":"ack","offset":true}',
    "null": '{"type":"seek","from":null}',
    "more digits than anybody needs": '{"type":"ack","offset":' + "9" * 60_000 + "}",
    "streams that are no list": '{"type":"hello","streams":"stdout"}',
    "a token that is no text": '{"type":"auth","token":5}',
    "half a surrogate pair": '{"type":"auth","token":"\\ud800"}',
    "arrays without end": "[" * 60_000,
    "depth without end": '{"a":' + "[" * 30_000 + "]" * 30_000 + ',"type":"pong"}',
    "two messages": '{"type":"pong"}{"type":"pong"}',
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
def test_anything_else_is_refused_in_one_sentence(said: str | bytes | None) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_client_message(said)
    assert len(caught.value.message) < 200


@given(st.text() | st.binary())
def test_no_garbage_is_more_than_refused(said: str | bytes) -> None:
    with pytest.raises(BadRequest):
        decode_client_message(said)
