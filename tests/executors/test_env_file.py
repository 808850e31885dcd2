"""What a run's program finds in its environment, by policy and by file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.conditions import Conditions, with_conditions
from supervisor.executors.local import LocalExecutor
from supervisor.journal.codec import encode_run
from supervisor.outcome import Exited, NotStarted, Outcome
from supervisor.processes.launcher import Launcher
from supervisor.spec import RunSpec
from supervisor.testing import a_run, open_console

INSTANCE = f"env-file-{os.getpid()}"


@pytest.fixture
async def executor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalExecutor]:
    monkeypatch.setenv("FROM_THE_SERVER", "1")
    launcher = Launcher()
    yield LocalExecutor(launcher, instance=INSTANCE, drain_s=0.5)
    launcher.close()


async def environment_of(
    executor: LocalExecutor, directory: Path, conditions: Conditions
) -> tuple[Outcome, dict[str, str]]:
    """How `env` ended, the environment that it found, and nothing of that is in the record."""
    spec = RunSpec(argv=("/usr/bin/env", "-0"), cwd="/", env={"OWN": "job"})
    run = a_run(with_conditions(spec, conditions))
    with trio.fail_after(60), open_console(directory, run) as rig:
        outcome = await executor.execute(rig.run, rig.console)
        assert "hunter2" not in encode_run(rig.run)
        pairs = (entry.partition("=") for entry in os.fsdecode(rig.output()).split("\0")[:-1])
        return outcome, {name: value for name, _, value in pairs}


async def test_a_run_has_only_what_it_is_to_inherit(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    _, everything = await environment_of(executor, tmp_path, Conditions())
    assert everything["FROM_THE_SERVER"] == "1"


async def test_an_empty_policy_leaves_nothing_of_the_server_s(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    _, env = await environment_of(executor, tmp_path, Conditions(inherit_env=()))
    assert env == {
        "OWN": "job",
        "PYTHONUNBUFFERED": "1",
        "RUNWIRE_ATTEMPT": "1",
        "RUNWIRE_INSTANCE": INSTANCE,
        "RUNWIRE_RUN_ID": "run",
    }


async def test_a_file_s_variables_reach_the_program_and_no_record(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    file = tmp_path / "a.env"
    file.write_bytes(b"PASSWORD=hunter2\nOWN=file\nRAW=\xff\n")
    _, env = await environment_of(executor, tmp_path, Conditions(env_file=str(file)))
    assert (env["PASSWORD"], env["OWN"], os.fsencode(env["RAW"])) == ("hunter2", "job", b"\xff")


async def test_it_is_read_when_the_run_starts(executor: LocalExecutor, tmp_path: Path) -> None:
    """So a secret that was changed needs no restart, and a file that is gone is told."""
    missing = tmp_path / "gone.env"
    outcome, _ = await environment_of(executor, tmp_path, Conditions(env_file=str(missing)))
    assert isinstance(outcome, NotStarted)
    assert outcome.message == f'cannot read its env_file "{missing}": No such file or directory'


@pytest.mark.parametrize("kind", ["wrong", "fifo", "directory", "large"])
async def test_what_is_no_such_file_is_a_start_that_failed(
    executor: LocalExecutor, tmp_path: Path, kind: str
) -> None:
    """Nothing waits for a pipe, and nothing endless is read."""
    file = tmp_path / "a.env"
    match kind:
        case "wrong":
            file.write_text("A=1\nhunter2\n")
        case "fifo":
            os.mkfifo(file)
        case "directory":
            file.mkdir()
        case _:
            file.write_text("# x\n" * 300_000)
    outcome, _ = await environment_of(executor, tmp_path, Conditions(env_file=str(file)))
    assert not isinstance(outcome, Exited)
    assert isinstance(outcome, NotStarted)
    why = {"wrong": "line 2: must be NAME=VALUE", "large": "it has more than 1024 KiB"}
    assert outcome.message.endswith(why.get(kind, "it is no regular file"))
