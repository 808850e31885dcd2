"""The packets of Engine.IO and Socket.IO: as the two protocols' documents show them, or refused."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from supervisor.errors import BadRequest
from web.socketio import packets
from web.socketio.packets import MAX_PAYLOAD_BYTES, Handshake, Kind, Packet, Said, Verb

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
# What looks like packets, so that more of it gets as far as what the libraries do with them.
PIECES = st.sampled_from(
    [*'0123456789-/,?[]{}":&=%\x1e²٣ ü', "b", "d=", "null", "1e999", "NaN", "\\ud800", "9" * 120]
)
HOSTILE = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)
DEEP = "[" * 60_000


def test_a_packet_is_its_kind_and_then_its_data() -> None:
    assert packets.decode_packet("4hello") == Packet(Kind.MESSAGE, "hello")
    assert packets.decode_packet("2probe") == Packet(Kind.PING, "probe")
    assert packets.decode_packet("3") == Packet(Kind.PONG)
    assert packets.encode_packet(Packet(Kind.MESSAGE, "hello")) == "4hello"
    assert packets.encode_packet(packets.PROBE) == "2probe"
    assert packets.encode_packet(packets.PROBED) == "3probe"
    assert packets.encode_packet(Packet(Kind.NOOP)) == "6"


def test_a_payload_is_packets_with_a_separator() -> None:
    read = [Packet(Kind.MESSAGE, "hello"), Packet(Kind.PING), Packet(Kind.MESSAGE, "wörld")]
    written = b"4hello\x1e2\x1e4w\xc3\xb6rld"
    assert packets.decode_payload(written) == read
    assert packets.encode_payload(read) == written


def test_a_client_may_send_as_many_messages_at_once_as_are_long_enough() -> None:
    body = "\x1e".join(['42["run-event",{"type":"pong"}]'] * 2000).encode()
    assert len(body) < MAX_PAYLOAD_BYTES
    assert len(packets.decode_payload(body)) == 2000
    with pytest.raises(BadRequest):
        packets.decode_payload(b"3\x1e" * 3000 + b"3")


@pytest.mark.parametrize(
    "text",
    ["", "7", "x", "bAQIDBA==", "b", b"\x04hello", b"", "٤0", '4"0"', "4null", "4{}", "4" + DEEP],
)
def test_what_is_no_packet_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadRequest):
        packets.decode_packet(text)


@pytest.mark.parametrize(
    "body",
    [b"", b"4a\x1e", b"\x1e4a", b"4\xff", b"9", b"bAQIDBA==", b"4a\x1ebAQIDBA==", b'4"0"', b"d=40"],
)
def test_what_is_no_payload_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        packets.decode_payload(body)


def test_the_first_packet_tells_the_terms() -> None:
    handshake = Handshake(
        sid="lv_VI97HAXpY6yYWAAAC",
        upgrades=("websocket",),
        ping_interval=25000,
        ping_timeout=20000,
        max_payload=1000000,
    )
    assert packets.encode_packet(packets.open_packet(handshake)) == (
        '0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],'
        '"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", Said(verb=Verb.CONNECT)),
        ('0{"token":"123"}', Said(verb=Verb.CONNECT, data=Raw('{"token":"123"}'))),
        (
            '0/admin,{"token":"123"}',
            Said(verb=Verb.CONNECT, namespace="/admin", data=Raw('{"token":"123"}')),
        ),
        ("0/admin,", Said(verb=Verb.CONNECT, namespace="/admin")),
        ("0/admin", Said(verb=Verb.CONNECT, namespace="/admin")),
        ("0/admin?a=b,{}", Said(verb=Verb.CONNECT, namespace="/admin", data=Raw("{}"))),
        ("1", Said(verb=Verb.DISCONNECT)),
        ("1/admin,", Said(verb=Verb.DISCONNECT, namespace="/admin")),
        ('2["foo"]', Said(verb=Verb.EVENT, data=Raw('["foo"]'))),
        ('2/admin,["bar"]', Said(verb=Verb.EVENT, namespace="/admin", data=Raw('["bar"]'))),
        ('212["foo"]', Said(verb=Verb.EVENT, id=12, data=Raw('["foo"]'))),
        ("3/admin,13[]", Said(verb=Verb.ACK, namespace="/admin", id=13, data=Raw("[]"))),
    ],
)
def test_what_a_client_says_is_understood(text: str, said: Said) -> None:
    assert packets.decode_said(text) == said


def test_attachments_are_refused() -> None:
    for text in (
        '51-["baz",{"_placeholder":true,"num":0}]',
        '61-12[{"_placeholder":true,"num":0}]',
    ):
        with pytest.raises(BadRequest):
            packets.decode_said(text)
    for attachment in ("bAQIDBA==", b"\x04hello"):
        with pytest.raises(BadRequest):
            packets.decode_packet(attachment)
    with pytest.raises(BadRequest):
        packets.decode_payload(b"4a\x1ebAQIDBA==")


@pytest.mark.parametrize(
    "text",
    ["", "7", "9[]", "x", '{"a":1}', "²", f"2{2**53}[]", f"2{10**101}[]", '50-["x"]', '21-["x"]'],
)
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        packets.decode_said(text)


@given(text=HOSTILE)
@example(text="2" + DEEP)
@example(text="4" + DEEP)
def test_no_text_can_do_more_than_be_refused(text: str) -> None:
    with suppress(BadRequest):
        packet = packets.decode_packet(text)
        assert packets.encode_packet(packet) == text
    with suppress(BadRequest):
        body = packets.decode_payload(text.encode())
        assert packets.encode_payload(body) == text.encode()
    with suppress(BadRequest):
        said = packets.decode_said(text)
        assert said.id is None or 0 <= said.id < 2**53
        name, arguments = packets.decode_event(said)
        assert isinstance(name, str)
        assert all(isinstance(argument, Raw) for argument in arguments)


@given(body=st.binary())
def test_no_bytes_can_do_more_than_be_refused(body: bytes) -> None:
    with suppress(BadRequest):
        assert packets.encode_payload(packets.decode_payload(body)) == body
    with pytest.raises(BadRequest):
        packets.decode_packet(body)


@given(name=NAMES, argument=JSON, word=NAMES)
def test_an_event_says_its_name_and_arguments(name: str, argument: object, word: str) -> None:
    text = msgspec.json.encode(argument).decode()
    heard, arguments = packets.decode_event(packets.decode_said(packets.event(name, text, word)))
    assert heard == name
    assert [msgspec.json.decode(part) for part in arguments] == [argument, word]


@pytest.mark.parametrize(
    "text",
    ["2", "2abc", "2\n", "2{}", '2"x"', "2[1]", "2[", '2["a",]', '2["\\ud800"]', '2["x",' + DEEP],
)
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        packets.decode_event(packets.decode_said(text))


def test_an_event_without_a_name_has_none() -> None:
    assert packets.decode_event(packets.decode_said("2[]")) == ("", [])


def test_a_message_that_is_json_already_goes_through_as_it_is() -> None:
    message = '{"data": "x\\u00fc\xfc",  "n": 1.50}'
    assert packets.event("run-event", message, "1.2") == f'2["run-event",{message},"1.2"]'


def test_what_the_server_says_looks_as_the_protocol_shows_it() -> None:
    assert packets.connected("wZX3oN0bSVIhsaknAAAI", "p") == (
        '0{"sid":"wZX3oN0bSVIhsaknAAAI","pid":"p"}'
    )
    assert packets.refused("/", 'not "authorized"', "forbidden") == (
        '4{"message":"not \\"authorized\\"","data":{"code":"forbidden"}}'
    )
    assert packets.refused("/admin", "no", "x").startswith('4/admin,{"message"')
    assert packets.event("run-event", '{"type":"ping"}') == '2["run-event",{"type":"ping"}]'
    assert packets.received(12) == "312[]"
    assert packets.disconnect() == "1"
