"""Limits and the like over HTTP: they hold, are shown, and what cannot be had is refused."""

from __future__ import annotations

import os
from pathlib import Path

from tests.web.served import Site


async def test_a_command_s_conditions_hold_and_are_shown(site: Site) -> None:
    body = {
        "shell": "ulimit -n; umask",
        "limits": {"nofile": 123, "core": "1M"},
        "nice": 3,
        "ionice": "idle",
        "umask": "077",
    }
    answer = await site.http.post("/runs", json=body)
    assert answer.status_code == 201, answer.text
    ended = await site.ended(answer.json()["id"])
    log = await site.http.get(f"/runs/{ended['id']}/log")
    assert log.text == "123\n0077\n"
    shown = ended["spec"]
    assert shown["limits"] == {"nofile": 123, "core": 2**20}
    assert (shown["nice"], shown["ionice"], shown["umask"]) == (3, "idle", "0077")


async def test_a_limit_that_cannot_be_had_is_refused_for_its_field(site: Site) -> None:
    body = {"shell": "true", "limits": {"nofile": 2**31 - 1}}
    answer = await site.http.post("/runs", json=body)
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == ("bad_value", "limits.nofile")


async def test_a_limit_that_does_not_exist_is_refused(site: Site) -> None:
    answer = await site.http.post("/runs", json={"shell": "true", "limits": {"memroy": "1G"}})
    assert answer.status_code == 422
    assert "memroy" in answer.json()["detail"]


async def test_a_command_s_environment_is_what_it_asks_for(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "secret.env"
    file.write_text("PASSWORD=hunter2\n")
    body = {
        "command": ["/usr/bin/env"],
        "inherit_env": ["HOM*"],
        "env_file": str(file),
        "env": {"A": "1"},
    }
    answer = await site.http.post("/runs", json=body)
    assert answer.status_code == 201, answer.text
    assert "hunter2" not in answer.text
    ended = await site.ended(answer.json()["id"])
    log = (await site.http.get(f"/runs/{ended['id']}/log")).text.splitlines()
    assert {"PASSWORD=hunter2", "A=1", f"HOME={os.environ['HOME']}"} <= set(log)
    assert not any(line.startswith("PATH=") for line in log)
    assert (ended["spec"]["inherit_env"], ended["spec"]["env_file"]) == (["HOM*"], str(file))


async def test_a_user_that_is_not_here_is_refused(site: Site) -> None:
    answer = await site.http.post("/runs", json={"shell": "true", "user": "no-such-user"})
    assert answer.status_code == 422
    assert (answer.json()["field"], "no user" in answer.json()["detail"]) == ("user", True)


async def test_what_a_run_used_is_told(site: Site) -> None:
    answer = await site.http.post("/runs", json={"shell": "true"})
    usage = (await site.ended(answer.json()["id"]))["usage"]
    assert usage["user_s"] + usage["system_s"] < 5
    assert usage["cpu_by"] in {"cgroup", "rusage"}
    assert {"peak_memory", "memory_by", "peak_processes"} < set(usage)
