"""The environment a run's program is given."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

from supervisor.model import Run
from supervisor.spec import OutputMode

RUN_ID = "RUNWIRE_RUN_ID"
"""Marks every process of a run, so that what a crash leaves behind can be attributed."""
INSTANCE = "RUNWIRE_INSTANCE"
"""Marks every process of one state directory: run ids are unique only within it."""

# Python buffers whole blocks on a pipe; without this, live output would not be live.
_DEFAULTS = MappingProxyType({"PYTHONUNBUFFERED": "1"})
_FOR_THE_SERVER_ONLY = frozenset(
    {
        "WS_AUTH_TOKEN",
        "RUNWIRE_TOKEN",
        "RUNWIRE_TOKEN_FILE",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "CREDENTIALS_DIRECTORY",
    }
)
"""Secrets, and the server's bond with its service manager (sd_notify(3), sd_listen_fds(3))."""
_OF_ANOTHER_RUN = ("RUNWIRE_JOB", "RUNWIRE_PARAM_")
"""What these names begin tells of the run that this server is itself part of, if it is."""


_TERMINAL = MappingProxyType({"TERM": "xterm-256color", "COLORTERM": "truecolor"})
"""What the terminals in the pages and nearly all others understand."""
_OF_ANOTHER_TERMINAL = ("COLUMNS", "LINES", "TERMCAP")
"""They would hide the size of the run's own, or what it can."""


_NOTHING: Mapping[str, str] = MappingProxyType({})


def inheritable(environ: Mapping[str, str]) -> dict[str, str]:
    """What runs get of the server's own environment, and what they have if it says nothing."""
    env = {**_DEFAULTS, **environ}
    return {
        name: value
        for name, value in env.items()
        if name not in _FOR_THE_SERVER_ONLY and not name.startswith(_OF_ANOTHER_RUN)
    }


def kept(inherited: Mapping[str, str], names: Sequence[str] | None) -> dict[str, str]:
    """Of what can be inherited, what a run wants: all for None, else what the `names` match.

    A name may have a `*` for any text.
    """
    if names is None:
        return dict(inherited)
    found = {
        name: value
        for name, value in inherited.items()
        if any(fnmatchcase(name, pattern) for pattern in names)
    }
    return {**_DEFAULTS, **found}


def marks(run_id: str, instance: str) -> dict[bytes, bytes]:
    """What marks the processes of one run of one state directory."""
    return {RUN_ID.encode(): os.fsencode(run_id), INSTANCE.encode(): os.fsencode(instance)}


def run_environment(
    run: Run,
    inherited: Mapping[str, str],
    instance: str,
    from_file: Mapping[str, str] = _NOTHING,
) -> dict[str, str]:
    """The whole environment: what is inherited, its `env_file`, the run's own, then our marks."""
    env = dict(inherited)
    if run.spec.output is OutputMode.PTY:
        for name in _OF_ANOTHER_TERMINAL:
            env.pop(name, None)
        env |= _TERMINAL
    env |= from_file
    env |= run.spec.env
    env[RUN_ID] = run.id
    env[INSTANCE] = instance
    env["RUNWIRE_ATTEMPT"] = str(run.attempt)
    if run.spec.job is not None:
        env["RUNWIRE_JOB"] = run.spec.job
    return env
