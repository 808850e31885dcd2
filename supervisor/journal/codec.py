"""How runs and events are written down as JSON, and how every version ever written is read.

A field that is added with a default, or one that is left out, needs no new version: readers
ignore what they do not know and fill in what is missing. Anything else does: raise the version,
keep a decoder for each old one, and add a migration (an empty one will do) so that an older
Runwire refuses the file instead of misreading it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from supervisor.errors import StorageUnavailable
from supervisor.model import Event, Run

_T = TypeVar("_T")
_SURROGATE = re.compile("[\ud800-\udfff]")

RUN_VERSION = 1
EVENT_VERSION = 2

_RUNS: Mapping[int, Callable[[str], Run]] = {1: msgspec.json.Decoder(Run).decode}
_decode_current_event = msgspec.json.Decoder(Event).decode
# Version 2 has more kinds of events, those of version 1 unchanged.
_EVENTS: Mapping[int, Callable[[str], Event]] = {
    1: _decode_current_event,
    2: _decode_current_event,
}


def encode_run(run: Run) -> str:
    """The JSON of a run, in version RUN_VERSION."""
    return _encode(run)


def decode_run(version: int, body: str) -> Run:
    """The run that was written as `body`. Raises StorageUnavailable if it cannot be read."""
    return _decode(_RUNS, version, body)


def encode_event(event: Event) -> str:
    """The JSON of an event, in version EVENT_VERSION."""
    return _encode(event)


def decode_event(version: int, payload: str) -> Event:
    """The event that was written as `payload`. Raises StorageUnavailable if it cannot be read."""
    return _decode(_EVENTS, version, payload)


def _encode(value: msgspec.Struct) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        # A file name that is not UTF-8 can stand in a message, and the fact must be stored.
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value))).decode()


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case dict():
            return {_without_surrogates(key): _without_surrogates(value[key]) for key in value}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value


def _decode(decoders: Mapping[int, Callable[[str], _T]], version: int, text: str) -> _T:
    try:
        return decoders[version](text)
    except KeyError:
        raise StorageUnavailable(
            f"the journal holds something in version {version}, which this Runwire cannot read"
        ) from None
    except msgspec.MsgspecError as error:
        raise StorageUnavailable(f"the journal holds something unreadable: {error}") from error
