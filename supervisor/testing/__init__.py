"""Tools for tests: an executor without processes (`fake`), and a whole supervisor (`rig`)."""

from supervisor.testing.fake import PROGRAM, FakeExecutor, noise, program
from supervisor.testing.rig import (
    TESTER,
    Recorder,
    Rig,
    a_run,
    open_console,
    open_rig,
    submit,
    wait_for,
    wait_until,
)

__all__ = [
    "PROGRAM",
    "TESTER",
    "FakeExecutor",
    "Recorder",
    "Rig",
    "a_run",
    "noise",
    "open_console",
    "open_rig",
    "program",
    "submit",
    "wait_for",
    "wait_until",
]
