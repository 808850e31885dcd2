"""The environment of a run: what the server has, what the run wants, and the marks of both."""

from __future__ import annotations

import msgspec

from supervisor.executors.environment import inheritable, kept, run_environment
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


def test_a_run_may_inherit_only_what_is_named() -> None:
    """But for what makes its output live, which is no part of the server's environment."""
    inherited = {"PATH": "/bin", "LC_ALL": "C", "LC_TIME": "C", "LANG": "C", "SECRET": "x"}
    live = {"PYTHONUNBUFFERED": "1"}
    assert kept(inherited, None) == inherited
    assert kept(inherited, ()) == live
    assert kept(inherited, ("PATH", "LC_*", "NOT_THERE")) == live | {
        "PATH": "/bin",
        "LC_ALL": "C",
        "LC_TIME": "C",
    }
    assert kept({"PYTHONUNBUFFERED": ""}, ("PYTHON*",)) == {"PYTHONUNBUFFERED": ""}


def test_a_file_overrides_what_is_inherited_and_the_job_overrides_the_file() -> None:
    run = a_run(msgspec.structs.replace(program(), env={"B": "job"}), "r1")
    from_file = {"A": "file", "B": "file", "RUNWIRE_RUN_ID": "forged"}
    env = run_environment(run, {"A": "server", "C": "server"}, "0123", from_file)
    assert (env["A"], env["B"], env["C"]) == ("file", "job", "server")
    assert env["RUNWIRE_RUN_ID"] == "r1"
