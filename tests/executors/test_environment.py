"""The environment of a run: what the server has, what the run wants, and the marks of both."""

from __future__ import annotations

import msgspec

from supervisor.executors.environment import inheritable, run_environment
from supervisor.testing import a_run, program


def environment(
    inherited: dict[str, str], env: dict[str, str], **changes: object
) -> dict[str, str]:
    run = a_run(msgspec.structs.replace(program(), env=env, **changes), "r1")
    return run_environment(run, inheritable(inherited), "0123")


def test_a_run_inherits_and_overrides() -> None:
    env = environment({"A": "1", "B": "2", "EMPTY": ""}, {"B": "3", "C": "4"}, job="nightly")
    assert env == {
        "A": "1",
        "B": "3",
        "C": "4",
        "EMPTY": "",
        "PYTHONUNBUFFERED": "1",
        "RUNWIRE_RUN_ID": "r1",
        "RUNWIRE_INSTANCE": "0123",
        "RUNWIRE_ATTEMPT": "1",
        "RUNWIRE_JOB": "nightly",
    }


def test_live_output_is_only_a_default() -> None:
    assert environment({"PYTHONUNBUFFERED": ""}, {})["PYTHONUNBUFFERED"] == ""
    assert environment({}, {"PYTHONUNBUFFERED": ""})["PYTHONUNBUFFERED"] == ""


def test_nobody_forges_the_marks() -> None:
    env = environment({"RUNWIRE_JOB": "outer"}, {"RUNWIRE_RUN_ID": "x", "RUNWIRE_INSTANCE": "y"})
    assert (env["RUNWIRE_RUN_ID"], env["RUNWIRE_INSTANCE"]) == ("r1", "0123")
    assert "RUNWIRE_JOB" not in env


def test_the_servers_secrets_stay_with_the_server() -> None:
    secrets = (
        "WS_AUTH_TOKEN",
        "RUNWIRE_TOKEN",
        "RUNWIRE_TOKEN_FILE",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "WATCHDOG_USEC",
    )
    assert not set(environment(dict.fromkeys(secrets, "x"), {})) & set(secrets)
    assert environment({}, {"RUNWIRE_TOKEN": "for this run"})["RUNWIRE_TOKEN"] == "for this run"
