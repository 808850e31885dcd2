"""Runs over HTTP, with the real engine behind it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio

from supervisor.access.claims import Claims, Scope
from supervisor.model import Actor
from tests.patience import PATIENCE_S
from tests.web.served import OpenSite, Site
from web.auth.auth import Auth


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    said: dict[str, object] = answer.json()
    assert said["code"] == code
    return said


# --- submit --------------------------------------------------------------------------------------


async def test_a_job_is_submitted_by_name_with_its_parameters(site: Site) -> None:
    answer = await site.http.post("/runs", json={"job": "hello", "params": {"name": "you"}})
    assert answer.status_code == 201
    run = answer.json()
    assert answer.headers["location"] == f"/runs/{run['id']}"
    assert (run["job"], run["status"], run["spec"]["params"]) == (
        "hello",
        "queued",
        {"name": "you"},
    )
    assert run["created_by"] == {"kind": "token", "name": "WS_AUTH_TOKEN"}
    ended = await site.ended(run["id"])
    assert (ended["status"], ended["exit_code"], ended["tags"]) == ("succeeded", 0, ["greeting"])
    assert ended["log"] == {"size": 15, "oldest": 0}


async def test_a_command_of_its_own_is_run_as_it_is(site: Site, tmp_path: Path) -> None:
    command = ["printf", "%s|", "a b", "$HOME", "*", ""]
    body = {"command": command, "cwd": str(tmp_path), "env": {"X": "1"}, "tags": ["t"]}
    answer = await site.http.post("/runs", json=body)
    assert answer.status_code == 201
    ended = await site.ended(answer.json()["id"])
    assert (ended["job"], ended["spec"]["command"]) == (None, command)
    log = await site.http.get(f"/runs/{ended['id']}/log")
    assert log.text == "a b|$HOME|*||"


async def test_the_same_request_with_the_same_id_is_one_run(site: Site) -> None:
    body = {"id": "mine.1", "shell": "true"}
    first = await site.http.post("/runs", json=body)
    again = await site.http.post("/runs", json=body)
    other = await site.http.post("/runs", json={"id": "mine.1", "shell": "false"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["created_at"] == first.json()["created_at"]
    assert "location" not in again.headers
    problem(other, 409, "run_id_taken")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "bad_request", None),
        ({"job": "hello", "shell": "true"}, 400, "bad_request", "shell"),
        ({"job": "helo"}, 404, "no_such_job", "job"),
        ({"job": "hello", "params": {"name": "UPPER"}}, 422, "bad_value", "params.name"),
        ({"job": "hello", "params": {"nmae": "x"}}, 422, "bad_value", "params.nmae"),
        ({"command": []}, 422, "bad_value", "command"),
        ({"command": ["a\0b"]}, 422, "bad_value", "command[0]"),
        ({"shell": "true", "timeout": "soon"}, 422, "bad_value", "timeout"),
        ({"shell": "true", "timeout": -1}, 422, "bad_value", "timeout"),
        ({"shell": "true", "stop": {"signal": "TREM"}}, 422, "bad_value", "stop.signal"),
        ({"shell": "true", "priority": 10**30}, 422, "bad_value", "priority"),
        ({"shell": "true", "id": "-x"}, 422, "bad_value", "id"),
        ({"shell": "true", "id": "x" * 65}, 422, "bad_value", "id"),
        ({"shell": "true", "id": "x\n"}, 422, "bad_value", "id"),
        ({"shell": "true", "id": "../x"}, 422, "bad_value", "id"),
        ({"shell": "true", "id": "é"}, 422, "bad_value", "id"),
    ],
)
async def test_what_cannot_be_run_is_refused_by_name_and_nothing_is_made(
    site: Site, body: dict[str, object], status: int, code: str, field: str | None
) -> None:
    said = problem(await site.http.post("/runs", json=body), status, code)
    assert said.get("field") == field
    assert (await site.http.get("/runs")).json()["runs"] == []


async def test_a_job_by_name_and_a_command_are_different_rights(open_site: OpenSite) -> None:
    auth = Auth(
        {
            "submit": Claims(actor=Actor("token", "s"), scopes=frozenset({Scope.RUNS_SUBMIT})),
            "exec": Claims(actor=Actor("token", "e"), scopes=frozenset({Scope.RUNS_EXEC})),
        }
    )
    submit, execute = ({"Authorization": f"Bearer {name}"} for name in ("submit", "exec"))
    async with open_site(auth=auth) as site:

        async def post(path: str, headers: dict[str, str], **body: object) -> httpx.Response:
            return await site.http.post(path, json=body, headers=headers)

        of_job = await post("/runs", submit, job="hello")
        of_own = await post("/runs", execute, shell="true")
        assert (of_job.status_code, of_own.status_code) == (201, 201)
        denied = await post("/runs", submit, shell="true")
        assert problem(denied, 403, "forbidden")["scope"] == "runs:exec"
        denied = await post("/runs", execute, job="hello")
        assert problem(denied, 403, "forbidden")["scope"] == "runs:submit"
        for run, mine, other in ((of_job, submit, execute), (of_own, execute, submit)):
            run_id = run.json()["id"]
            with trio.fail_after(PATIENCE_S):
                await site.supervisor.wait_ended(run_id)
            problem(await post(f"/runs/{run_id}/retry", other), 403, "forbidden")
            assert (await post(f"/runs/{run_id}/retry", mine)).status_code == 201


async def test_a_token_for_some_runs_or_jobs_sees_and_touches_no_others(
    open_site: OpenSite,
) -> None:
    everything = frozenset(Scope)
    auth = Auth(
        {
            "all": Claims(actor=Actor("token", "all"), scopes=everything),
            "jobs": Claims(actor=Actor("token", "jobs"), scopes=everything, jobs=("hel*",)),
            "runs": Claims(actor=Actor("token", "runs"), scopes=everything, runs=("mine-*",)),
        }
    )
    async with open_site(auth=auth) as site:

        async def ask(who: str, method: str, path: str, **more: object) -> httpx.Response:
            headers = {"Authorization": f"Bearer {who}"}
            return await site.http.request(method, path, headers=headers, **more)  # type: ignore[arg-type]

        job = (await ask("all", "POST", "/runs", json={"job": "hello"})).json()["id"]
        own = (await ask("all", "POST", "/runs", json={"shell": "true"})).json()["id"]
        mine = await ask("runs", "POST", "/runs", json={"id": "mine-1", "shell": "true"})
        assert mine.status_code == 201
        listed = {
            who: {run["id"] for run in (await ask(who, "GET", "/runs")).json()["runs"]}
            for who in ("all", "jobs", "runs")
        }
        assert listed == {"all": {job, own, "mine-1"}, "jobs": {job}, "runs": {"mine-1"}}
        for who, hidden in (("jobs", own), ("jobs", "mine-1"), ("runs", job)):
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/cancel"),
                ("POST", "/retry"),
                ("GET", "/events"),
                ("GET", "/log"),
            ):
                problem(await ask(who, method, f"/runs/{hidden}{path}"), 404, "no_such_run")
            signal = await ask(who, "POST", f"/runs/{hidden}/signal", json={"signal": "HUP"})
            problem(signal, 404, "no_such_run")
        jobs = (await ask("jobs", "GET", "/jobs")).json()["jobs"]
        assert [shown["name"] for shown in jobs] == ["hello"]
        problem(await ask("jobs", "GET", "/jobs/sleeper"), 404, "no_such_job")
        problem(await ask("jobs", "POST", "/runs", json={"job": "sleeper"}), 404, "no_such_job")
        problem(await ask("jobs", "POST", "/runs", json={"shell": "true"}), 403, "forbidden")
        problem(await ask("runs", "POST", "/runs", json={"shell": "true"}), 403, "forbidden")


# --- list and show -------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first_in_pages(site: Site) -> None:
    made = [await site.shell("true") for _ in range(5)]
    seen: list[str] = []
    query = {"limit": "2"}
    pages = 0
    while True:
        page = (await site.http.get("/runs", params=query)).json()
        seen += [run["id"] for run in page["runs"]]
        pages += 1
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert seen == made[::-1]
    assert pages == 3


async def test_runs_are_found_by_what_they_are(site: Site) -> None:
    good = await site.shell("echo needle", tags=["blue"])
    bad = await site.shell("exit 3", tags=["red"])
    job = (await site.http.post("/runs", json={"job": "hello"})).json()["id"]
    for run in (good, bad, job):
        await site.ended(run)

    async def found(**query: object) -> list[str]:
        answer = await site.http.get("/runs", params=query)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()["runs"]]

    assert await found(status="failed") == [bad]
    assert await found(status=["failed", "succeeded"]) == [job, bad, good]
    assert await found(status="running") == []
    assert await found(tag="blue") == [good]
    assert await found(job="hello") == [job]
    assert await found(q="NEEDLE") == [good]
    assert await found(q="needle", status="failed") == []
    problem(await site.http.get("/runs?status=done"), 422, "bad_value")
    problem(await site.http.get("/runs?stauts=failed"), 422, "bad_value")
    problem(await site.http.get("/runs?before=zzz"), 422, "bad_value")


async def test_a_run_that_is_not_there_is_no_run(site: Site) -> None:
    problem(await site.http.get("/runs/none"), 404, "no_such_run")


async def test_a_failed_run_says_why(site: Site) -> None:
    run = await site.ended(await site.shell("exit 3"))
    assert (run["status"], run["reason"], run["exit_code"]) == ("failed", "exit_code", 3)
    missing = await site.http.post("/runs", json={"command": ["no-such-program"]})
    run = await site.ended(missing.json()["id"])
    assert (run["status"], run["reason"]) == ("failed", "start_failed")
    assert "no-such-program" in run["message"]


async def test_a_runs_history_is_told_in_order_with_who(site: Site) -> None:
    run_id = await site.shell("true")
    await site.ended(run_id)
    events = (await site.http.get(f"/runs/{run_id}/events")).json()["events"]
    kinds = [event["entry"]["event"]["type"] for event in events]
    assert kinds[0] == "submitted"
    assert kinds[-1] == "succeeded"
    assert "started" in kinds
    assert [event["run_seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["entry"]["by"] == {"kind": "token", "name": "WS_AUTH_TOKEN"}
    problem(await site.http.get("/runs/none/events"), 404, "no_such_run")


# --- stopping and signals ------------------------------------------------------------------------


async def test_cancel_stops_a_running_run_and_may_be_repeated(site: Site) -> None:
    run_id = (await site.http.post("/runs", json={"job": "sleeper"})).json()["id"]
    await site.running(run_id, written=len("ready\n"))
    answer = await site.http.post(f"/runs/{run_id}/cancel")
    assert answer.status_code == 202
    assert answer.json()["cancel_requested_at"]
    ended = await site.ended(run_id)
    assert (ended["status"], ended["stop"]["steps"][0]["signal"]) == ("cancelled", "TERM")
    assert ended["stop"]["requested_by"]["name"] == "WS_AUTH_TOKEN"
    again = await site.http.post(f"/runs/{run_id}/cancel", json={})
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_cancel_while_stopping_is_200_and_force_kills_at_once(site: Site) -> None:
    run_id = await site.shell("trap '' TERM; echo ready; while :; do sleep 1; done")
    await site.running(run_id, written=len("ready\n"))
    first = await site.http.post(f"/runs/{run_id}/cancel", json={"grace": "60s"})
    second = await site.http.post(f"/runs/{run_id}/cancel", json={"grace": "60s"})
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json()["status"] == "running"
    forced = await site.http.post(f"/runs/{run_id}/cancel", json={"force": True})
    assert forced.status_code in (200, 202)
    ended = await site.ended(run_id)
    assert (ended["status"], ended["signal"]) == ("cancelled", "KILL")
    assert ended["stop"]["escalated"]


async def test_cancel_takes_the_signal_it_is_given(site: Site) -> None:
    run_id = await site.shell(
        "trap 'echo int; exit 1' INT; echo ready; while :; do sleep 0.05; done"
    )
    await site.running(run_id, written=len("ready\n"))
    await site.http.post(f"/runs/{run_id}/cancel", json={"signal": "SIGINT", "grace": "30s"})
    ended = await site.ended(run_id)
    assert ended["stop"]["steps"][0]["signal"] == "INT"
    assert (await site.http.get(f"/runs/{run_id}/log")).text == "ready\nint\n"


async def test_a_waiting_run_is_cancelled_at_once(open_site: OpenSite) -> None:
    async with open_site(max_running=1) as site:
        holder = await site.shell("sleep 60")
        waiting = await site.shell("true")
        await site.running(holder)
        answer = await site.http.post(f"/runs/{waiting}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


async def test_a_run_that_ended_first_stays_what_it_was(site: Site) -> None:
    run_id = await site.shell("true")
    await site.ended(run_id)
    said = problem(await site.http.post(f"/runs/{run_id}/cancel"), 409, "run_ended")
    run = said["run"]
    assert isinstance(run, dict)
    assert (run["id"], run["status"]) == (run_id, "succeeded")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"signal": "NOPE"}, "signal"),
        ({"grace": "long"}, "grace"),
        ({"grace": -1}, "grace"),
        ({"force": "yes"}, "force"),
        ({"froce": True}, "froce"),
    ],
)
async def test_a_cancel_that_makes_no_sense_stops_nothing(
    site: Site, body: dict[str, object], field: str
) -> None:
    run_id = (await site.http.post("/runs", json={"job": "sleeper"})).json()["id"]
    await site.running(run_id)
    said = problem(await site.http.post(f"/runs/{run_id}/cancel", json=body), 422, "bad_value")
    assert said["field"] == field
    assert (await site.run(run_id))["cancel_requested_at"] is None


async def test_a_signal_changes_nothing_but_what_the_program_makes_of_it(site: Site) -> None:
    run_id = await site.shell("trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done")
    await site.running(run_id, written=len("ready\n"))
    answer = await site.http.post(f"/runs/{run_id}/signal", json={"signal": "HUP"})
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    run = await site.running(run_id, written=len("ready\nhup\n"))
    assert run["cancel_requested_at"] is None
    problem(await site.http.post(f"/runs/{run_id}/signal", json={"signal": "X"}), 422, "bad_value")
    problem(await site.http.post(f"/runs/{run_id}/signal", json={}), 422, "bad_value")
    await site.http.post(f"/runs/{run_id}/cancel", json={"force": True})
    await site.ended(run_id)
    late = await site.http.post(f"/runs/{run_id}/signal", json={"signal": "HUP"})
    problem(late, 409, "run_ended")


# --- retry and delete ----------------------------------------------------------------------------


async def test_retry_is_a_new_run_of_the_same(site: Site) -> None:
    first = await site.shell("exit 3", tags=["x"])
    await site.ended(first)
    answer = await site.http.post(f"/runs/{first}/retry")
    assert answer.status_code == 201
    run = answer.json()
    assert answer.headers["location"] == f"/runs/{run['id']}"
    assert (run["attempt"], run["retry_of"], run["tags"]) == (2, first, ["x"])
    assert run["id"] != first
    assert (await site.run(first))["exit_code"] == 3


async def test_only_an_ended_run_can_be_retried_or_deleted(site: Site) -> None:
    run_id = await site.shell("sleep 60")
    problem(await site.http.post(f"/runs/{run_id}/retry"), 409, "run_not_ended")
    problem(await site.http.delete(f"/runs/{run_id}"), 409, "run_not_ended")
    assert (await site.run(run_id))["id"] == run_id


async def test_a_deleted_run_and_its_log_are_gone(site: Site) -> None:
    run_id = await site.shell("echo x")
    await site.ended(run_id)
    answer = await site.http.delete(f"/runs/{run_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers
    for path in ("", "/log", "/events"):
        problem(await site.http.get(f"/runs/{run_id}{path}"), 404, "no_such_run")
    assert not list((site.socket.parent / "state" / "logs").glob(f"*{run_id}*"))
