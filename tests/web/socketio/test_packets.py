"""The packets of Engine.IO and Socket.IO, held to what the two protocols' documents show."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadRequest
from web.socketio import packets
from web.socketio.packets import Handshake, Kind, Packet, Said, Verb

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_a_packet_is_its_kind_and_then_its_data() -> None:
    assert packets.decode_packet("4hello") == Packet(Kind.MESSAGE, "hello")
    assert packets.decode_packet("2probe") == Packet(Kind.PING, "probe")
    assert packets.decode_packet("3") == Packet(Kind.PONG)
    assert packets.PROBE == "2probe"
    assert packets.PROBED == "3probe"


def test_a_payload_is_packets_with_a_separator() -> None:
    assert packets.decode_payload(b"4hello\x1e2\x1e4w\xc3\xb6rld") == [
        Packet(Kind.MESSAGE, "hello"),
        Packet(Kind.PING),
        Packet(Kind.MESSAGE, "wörld"),
    ]
    assert packets.encode_payload(["4hello", "2", "4wörld"]) == b"4hello\x1e2\x1e4w\xc3\xb6rld"


@pytest.mark.parametrize("text", ["", "7", "x", "bAQIDBA==", b"\x04hello"])
def test_what_is_no_packet_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadRequest):
        packets.decode_packet(text)


@pytest.mark.parametrize("body", [b"", b"4a\x1e", b"\x1e4a", b"4\xff", b"9"])
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
    assert packets.open_packet(handshake) == (
        '0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],'
        '"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", Said(verb=Verb.CONNECT)),
        ('0{"token":"123"}', Said(verb=Verb.CONNECT, data='{"token":"123"}')),
        (
            '0/admin,{"token":"123"}',
            Said(verb=Verb.CONNECT, namespace="/admin", data='{"token":"123"}'),
        ),
        ("0/admin,", Said(verb=Verb.CONNECT, namespace="/admin")),
        ("0/admin", Said(verb=Verb.CONNECT, namespace="/admin")),
        ("0/admin?a=b,{}", Said(verb=Verb.CONNECT, namespace="/admin", data="{}")),
        ("1", Said(verb=Verb.DISCONNECT)),
        ("1/admin,", Said(verb=Verb.DISCONNECT, namespace="/admin")),
        ('2["foo"]', Said(verb=Verb.EVENT, data='["foo"]')),
        ('2/admin,["bar"]', Said(verb=Verb.EVENT, namespace="/admin", data='["bar"]')),
        ('212["foo"]', Said(verb=Verb.EVENT, id=12, data='["foo"]')),
        ("3/admin,13[]", Said(verb=Verb.ACK, namespace="/admin", id=13, data="[]")),
        (
            '51-["baz",{"_placeholder":true,"num":0}]',
            Said(verb=Verb.BINARY_EVENT, data='["baz",{"_placeholder":true,"num":0}]'),
        ),
    ],
)
def test_what_a_client_says_is_understood(text: str, said: Said) -> None:
    assert packets.decode_said(text) == said


@pytest.mark.parametrize("text", ["", "7", "x", "2abc", "2" + "1" * 16 + "[]", "2\n", '{"a":1}'])
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        packets.decode_said(text)


@given(text=st.text())
def test_no_text_can_do_more_than_be_refused(text: str) -> None:
    for decode in (packets.decode_said, packets.decode_packet):
        try:
            decode(text)
        except BadRequest:
            continue


@given(name=NAMES, argument=JSON, word=NAMES)
def test_an_event_says_its_name_and_arguments(name: str, argument: object, word: str) -> None:
    text = msgspec.json.encode(argument).decode()
    packet = packets.decode_packet(packets.event(name, text, word))
    assert packet.kind is Kind.MESSAGE
    heard, arguments = packets.decode_event(packets.decode_said(packet.data))
    assert heard == name
    assert [msgspec.json.decode(part) for part in arguments] == [argument, word]


@pytest.mark.parametrize("data", [None, "", "{}", '"x"', "[1]", "[", '["a",]'])
def test_what_is_no_event_is_refused(data: str | None) -> None:
    with pytest.raises(BadRequest):
        packets.decode_event(Said(verb=Verb.EVENT, data=data))


def test_an_event_without_a_name_has_none() -> None:
    assert packets.decode_event(Said(verb=Verb.EVENT, data="[]")) == ("", [])


def test_what_the_server_says_looks_as_the_protocol_shows_it() -> None:
    assert packets.connected("wZX3oN0bSVIhsaknAAAI", "p") == (
        '40{"sid":"wZX3oN0bSVIhsaknAAAI","pid":"p"}'
    )
    assert packets.refused("/", 'not "authorized"', "forbidden") == (
        '44{"message":"not \\"authorized\\"","data":{"code":"forbidden"}}'
    )
    assert packets.refused("/admin", "no", "x").startswith('44/admin,{"message"')
    assert packets.event("run-event", '{"type":"ping"}') == '42["run-event",{"type":"ping"}]'
    assert packets.received(12) == "4312[]"
    assert packets.DISCONNECT == "41"
