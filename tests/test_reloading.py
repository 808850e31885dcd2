"""What reading jobs.toml again changes, and what only a restart does."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.config.settings import Settings, read_settings
from supervisor.reloading import compare, describe, take_effect
from supervisor.wire import ReloadReport

BEFORE = """
[supervisor]
max_running = 2
[jobs.kept]
command = ["true"]
[jobs.changed]
command = ["true"]
[jobs.removed]
command = ["true"]
"""


def settings(text: str) -> Settings:
    return read_settings(text, Path("/etc/runwire/jobs.toml"), environ={"HOME": "/root"})


def test_the_same_file_changes_nothing() -> None:
    report = compare(settings(BEFORE), settings(BEFORE))
    assert report == ReloadReport()
    assert describe(report) == "nothing has changed"


def test_jobs_and_some_settings_take_effect_and_the_rest_is_told() -> None:
    after = settings(
        """
        [supervisor]
        max_running = 5
        max_log = "10MB"
        drain = "9s"
        retention.runs = 7
        [web]
        bind = "127.0.0.1:4001"
        limits.max_body = "2MiB"
        [auth]
        leeway = "5s"
        [jobs.kept]
        command = ["true"]
        [jobs.changed]
        command = ["false"]
        [jobs.added]
        command = ["true"]
        """
    )
    before = settings(BEFORE)
    report = compare(before, after)
    assert report == ReloadReport(
        added=("added",),
        removed=("removed",),
        changed=("changed",),
        settings=("supervisor.max_running", "supervisor.max_log", "supervisor.retention"),
        needs_restart=("supervisor.drain", "web.bind", "web.limits.max_body", "auth"),
    )
    assert describe(report) == (
        "jobs added: added; jobs removed: removed; jobs changed: changed; "
        "settings: supervisor.max_running, supervisor.max_log, supervisor.retention; "
        "only with a restart: supervisor.drain, web.bind, web.limits.max_body, auth"
    )
    now = take_effect(before, after)
    assert now.jobs == after.jobs
    assert now.supervisor.max_running == 5
    assert now.supervisor.retention.runs == 7
    assert now.supervisor.drain_s == before.supervisor.drain_s
    assert now.web == before.web


def test_what_needs_a_restart_is_told_again_until_there_was_one() -> None:
    before, after = settings(BEFORE), settings(BEFORE + "[web]\nbase_path = '/x'")
    assert compare(before, after).needs_restart == ("web.base_path",)
    assert compare(take_effect(before, after), after).needs_restart == ("web.base_path",)


@pytest.mark.parametrize("key", ["drain", "log_sync", "state_dir", "process_tracking"])
def test_keys_are_told_as_the_file_names_them(key: str) -> None:
    value = {"state_dir": '"/x"', "process_tracking": '"group"'}.get(key, '"3s"')
    text = BEFORE.replace("max_running = 2", f"max_running = 2\n{key} = {value}")
    assert f"supervisor.{key}" in compare(settings(BEFORE), settings(text)).needs_restart
