"""Bytes leave whole, and what others named cannot act on the terminal."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.cli.output import ReaderGone, plain, write_all


def test_write_all_waits_where_another_program_made_the_descriptor_non_blocking() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = os.urandom(1_000_000)
    read = bytearray()

    def drain() -> None:
        while piece := os.read(reading, 10_000):
            read.extend(piece)

    reader = threading.Thread(target=drain)
    reader.start()
    write_all(writing, data)
    os.close(writing)
    reader.join(30)
    os.close(reading)
    assert read == data


@pytest.mark.parametrize("blocking", [True, False])
def test_write_all_names_the_descriptor_that_nobody_reads(blocking: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    os.close(reading)
    with pytest.raises(ReaderGone) as gone:
        write_all(writing, b"x")
    os.close(writing)
    assert gone.value.fd == writing


@given(st.text())
def test_plain_text_has_no_control_characters_and_loses_nothing_else(text: str) -> None:
    shown = plain(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert [char for char in text if char.isprintable()] == [
        char for char in text if char in shown and char.isprintable()
    ]
