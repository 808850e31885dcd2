"""What a follower is told: the server's own messages, decoded."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from supervisor import messages
from supervisor.client.updates import End, Gap, Refusal, decode_message
from supervisor.errors import ProtocolError
from supervisor.frames import Output, encode_output
from supervisor.lifecycle import begin
from supervisor.messages import StatusMessage
from supervisor.model import SYSTEM, Entry, Moment, Status, Stream, Submitted
from supervisor.spec import RunSpec
from supervisor.wire import EventView, LogInfo, show_run

AT = Moment(datetime(2025, 1, 2, 3, 4, 5, 6, UTC), 7, "boot")
ENTRY = Entry("r1", AT, SYSTEM, Submitted(RunSpec(argv=("true",), cwd="/")))
RUN = show_run(begin(ENTRY, seq=1), LogInfo(9, 0))


def test_what_the_server_says_is_what_is_told() -> None:
    status = messages.status_message(
        EventView(seq=1, run_seq=1, version=1, entry=ENTRY), Status.QUEUED
    )
    said = [
        messages.gap_message(3, 5, "trimmed"),
        msgspec.json.encode(status),
        messages.end_message(9, RUN),
        messages.error_message("no_such_run", "there is no run r1"),
    ]
    told = [each for text in said for each in decode_message(text.decode())]
    assert told == [
        Gap(3, 5, "trimmed"),
        status,
        End(9, RUN),
        Refusal("no_such_run", "there is no run r1"),
    ]
    assert isinstance(told[1], StatusMessage)


def test_a_binary_message_is_output() -> None:
    wire = encode_output(Stream.STDOUT, 0, b"a") + encode_output(Stream.STDERR, 1, b"\xff")
    assert decode_message(wire) == [
        Output(Stream.STDOUT, 0, b"a"),
        Output(Stream.STDERR, 1, b"\xff"),
    ]


@pytest.mark.parametrize("text", ['{"type":"ping"}', '{"type":"of-a-newer-server","x":[1]}'])
def test_what_needs_no_attention_tells_nothing(text: str) -> None:
    assert decode_message(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping",
        "{}",
        '{"type":1}',
        '{"type":"gap"}',
        '{"type":"end","offset":1,"run":{}}',
        "[" * 9999,
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode_message(text)
