"""A run that writes nothing is told as silent, with the process that may be keeping its output."""

from __future__ import annotations

import sys

import pytest

from supervisor import silence
from tests.web.served import Site

PRINTS = "print('kept'); import sys; sys.stdin.read()"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been silent for a moment is silent."""
    monkeypatch.setattr(silence, "NOTED_S", 0.0)


async def test_a_python_that_keeps_what_it_prints_is_named(site: Site) -> None:
    """`PYTHONUNBUFFERED=1`, which runs have, is switched off for this one."""
    line = f'{sys.executable} -c "{PRINTS}"'
    run_id = await site.shell(
        f"echo first; {line}; true", stdin="open", env={"PYTHONUNBUFFERED": ""}
    )
    run = await site.running(run_id, written=6)
    while run["silent"] is None or run["silent"]["hint"] is None:
        run = await site.run(run_id)
    assert run["silent"]["hint"].startswith("python")
    assert run["silent"]["for_s"] >= 0
    assert run["log"]["size"] == 6


async def test_a_python_as_runs_have_it_keeps_nothing(site: Site) -> None:
    run_id = await site.shell(f'{sys.executable} -c "{PRINTS}"', stdin="open")
    run = await site.running(run_id, written=5)
    while run["silent"] is None:
        run = await site.run(run_id)
    assert run["silent"]["hint"] is None


async def test_who_waits_on_a_terminal_is_not_silent(site: Site) -> None:
    run_id = await site.shell("echo $; read line", output="pty")
    assert (await site.running(run_id, written=3))["silent"] is None


async def test_only_what_runs_can_be_silent(site: Site) -> None:
    run_id = await site.shell("true")
    assert (await site.ended(run_id))["silent"] is None
    [listed] = (await site.http.get("/runs")).json()["runs"]
    assert listed["silent"] is None


async def test_a_run_that_has_just_written_is_not_silent(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "NOTED_S", 3600.0)
    run_id = await site.shell("echo x; sleep 60")
    assert (await site.running(run_id, written=2))["silent"] is None
