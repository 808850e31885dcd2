"""Commands that ask the server once, each against a real server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from supervisor.model import Reason, Status
from supervisor.wire import EventList, JobList, RunList, RunView
from tests.cli.conftest import RUNWIRE, Server, lines, on_terminal

# --- submit ---------------------------------------------------------------------------------------


def test_submit_prints_the_id_of_a_run_that_the_server_knows(server: Server) -> None:
    run_id = server.submit("greet", "-p", "whom=you", "-p", "times=3")
    run = server.run_view(run_id)
    assert (run.id, run.job, run.spec.command[2:]) == (run_id, "greet", ("you", "3"))


def test_submit_takes_a_command_after_dashes_with_its_own_options(server: Server) -> None:
    """What stands after -- is never an option of ours, nor the name of a job."""
    run = server.run_view(server.submit("--tag", "mine", "--", "greet", "--json", "-p", "--", "x"))
    assert run.job is None
    assert run.spec.command == ("greet", "--json", "-p", "--", "x")
    assert run.tags == ("mine",)


def test_submit_takes_a_shell_line(server: Server) -> None:
    run = server.run_view(server.submit("--shell", "exit 3 | true"))
    assert run.spec.shell == "exit 3 | true"


def test_submit_says_how_the_run_is_to_be(server: Server) -> None:
    options = ["--timeout", "1h30m", "--signal", "SIGINT", "--grace", "2s", "--priority", "5"]
    run = server.run_view(server.submit("--id", "my-id", *options, "-e", "A=1=2", "--", "true"))
    assert (run.id, run.priority, run.spec.timeout_s) == ("my-id", 5, 5400.0)
    assert (run.spec.stop.signal, run.spec.stop.grace_s) == ("INT", 2.0)
    assert run.spec.env == {"A": "1=2"}


def test_a_command_runs_where_it_was_typed(server: Server, tmp_path: Path) -> None:
    """And a relative --cwd is meant from there."""
    (tmp_path / "sub").mkdir()
    done = server.run("submit", "--json", "--", "true", cwd=tmp_path)
    assert msgspec.json.decode(done.stdout, type=RunView).spec.cwd == str(tmp_path)
    done = server.run("submit", "--json", "--cwd", "sub", "--", "true", cwd=tmp_path)
    assert msgspec.json.decode(done.stdout, type=RunView).spec.cwd == str(tmp_path / "sub")


def test_a_variable_named_alone_takes_its_value_from_here(server: Server) -> None:
    done = server.run("submit", "--json", "-e", "HERE", "-e", "NOT_HERE", "--", "true", HERE="x")
    assert msgspec.json.decode(done.stdout, type=RunView).spec.env == {"HERE": "x"}


def test_the_same_id_and_request_twice_is_one_run(server: Server) -> None:
    first = server.submit("--id", "once", "greet")
    assert server.submit("--id", "once", "greet") == first
    done = server.run("submit", "--id", "once", "both")
    assert (done.returncode, done.stdout) == (73, b"")
    assert b"once" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["gret"], 66, 'did you mean "greet"?'),
        (["greet", "-p", "times=9"], 65, "params.times: "),
        (["greet", "-p", "tims=1"], 65, "times"),
        (["needs-a-number"], 65, "params.n"),
        (["greet", "--cwd", "/"], 65, "cwd"),
        (["--timeout", "soon", "--", "true"], 65, "timeout: "),
        (["--id", "../b", "--", "true"], 65, "id: "),
        (["--id", "b\n", "--", "true"], 65, "id: "),
        (["--", "caf\udce9"], 65, "command: a command must be UTF-8 text"),
        ([], 2, "Name a job, or give a command after --"),
        (["--"], 2, "no command after --"),
        (["greet", "--", "true"], 2, "Name a job, or"),
        (["greet", "-p", "times"], 2, "-p takes NAME=VALUE"),
        (["greet", "both"], 2, "unexpected extra argument"),
    ],
)
def test_a_submit_that_cannot_be_names_what_is_wrong(
    server: Server, arguments: list[str], code: int, said: str
) -> None:
    before = ids_of_runs(server)
    done = server.run("submit", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert ids_of_runs(server) == before


def ids_of_runs(server: Server) -> list[str]:
    """Those of all runs, whatever becomes of them meanwhile."""
    return [row[0] for row in lines(server.output("list", "-n", "1000"))]


# --- list -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(server: Server) -> tuple[str, str, str]:
    """The ids of three ended runs, oldest first: greet, both, and a command with the tag three."""
    ids = (
        server.submit("greet"),
        server.submit("both"),
        server.submit("--tag", "three", "--", "printf", "a\tb"),
    )
    for run_id in ids:
        server.run("logs", "-f", run_id)
    return ids


def test_list_prints_fields_with_tabs_newest_first(
    server: Server, three: tuple[str, str, str]
) -> None:
    table = lines(server.output("list", "-n", "1000"))
    rows = {row[0]: row for row in table}
    greet, both, command = (rows[run_id] for run_id in three)
    assert table.index(command) < table.index(both) < table.index(greet)
    assert (*greet[1:4], *greet[6:]) == ("succeeded", "", "0", "greet", "printf %s %s\\x0a world 1")
    assert (*both[1:4], both[6]) == ("failed", "exit_code", "3", "both")
    assert greet[4].endswith("Z")
    assert greet[4] < greet[5]
    assert command[7] == "printf a\\x09b"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--job", "both"], {1}),
        (["--tag", "three"], {2}),
        (["--status", "failed", "--job", "both"], {1}),
        (["--status", "failed", "--status", "succeeded", "--job", "both"], {1}),
        (["--status", "queued"], set()),
        (["-q", "gree"], {0}),
    ],
)
def test_list_shows_only_what_is_asked_for(
    server: Server, three: tuple[str, str, str], options: list[str], expected: set[int]
) -> None:
    found = {row[0] for row in lines(server.output("list", "-n", "1000", *options))}
    assert {number for number, run_id in enumerate(three) if run_id in found} == expected


def test_list_goes_on_with_the_next_page(server: Server, three: tuple[str, str, str]) -> None:
    done = server.run("list", "-n", "2")
    first = [row[0] for row in lines(done.stdout.decode())]
    cursor = done.stderr.decode().split()[-1]
    rest = [row[0] for row in lines(server.output("list", "-n", "1000", "--before", cursor))]
    everything = [row[0] for row in lines(server.output("list", "-n", "1000"))]
    assert len(first) == 2
    assert first + rest == everything


def test_list_on_a_terminal_has_headings_and_fits(
    server: Server, three: tuple[str, str, str]
) -> None:
    server.run("run", "both")
    server.output("submit", "--id", "long", "--", "true", "x" * 300)
    shown = on_terminal(server, "list", NO_COLOR="1")
    heading, *rows = shown.splitlines()
    assert heading.split() == ["ID", "STATUS", "CREATED", "TOOK", "WHAT"]
    assert all(len(row) <= 100 for row in rows)
    assert any("failed (exit 3)" in row for row in rows)
    assert "\x1b" not in shown
    assert "\x1b[3" in on_terminal(server, "list")


def test_a_command_cannot_write_escapes_to_the_terminal(server: Server) -> None:
    run_id = server.submit("--", "printf", "\x1b]0;title\x07", "\x9b2J", "[red]")
    for command in (["list"], ["show", run_id]):
        shown = on_terminal(server, *command, NO_COLOR="1")
        assert "\x1b" not in shown
        assert "\x9b" not in shown
        assert "\\x1b]0;title" in shown
        assert "[red]" in shown


# --- show, events, jobs ---------------------------------------------------------------------------


def test_show_tells_all_that_is_known_and_leaves_out_the_rest(
    server: Server, three: tuple[str, str, str]
) -> None:
    shown = server.output("show", three[1])
    facts = dict(line.split(":", 1) for line in shown.splitlines())
    assert facts["status"].strip() == "failed (exit 3)"
    assert facts["job"].strip() == "both"
    assert facts["log"].strip() == "8 bytes"
    assert facts["exit code"].strip() == "3"
    assert "stop" not in facts
    assert "attempt" not in facts


def test_show_events_prints_the_history(server: Server, three: tuple[str, str, str]) -> None:
    table = lines(server.output("show", "--events", three[1]))
    assert [row[0] for row in table] == [str(number + 1) for number in range(len(table))]
    kinds = [row[3] for row in table]
    assert (kinds[0], kinds[-1]) == ("submitted", "failed")
    assert "started" in kinds


def test_json_is_exactly_what_the_api_answers(server: Server, three: tuple[str, str, str]) -> None:
    run_id = three[2]
    for path, command, kind in (
        (f"/runs/{run_id}", ["show", run_id], RunView),
        (f"/runs/{run_id}/events", ["show", "--events", run_id], EventList),
        ("/runs?tag=three", ["list", "--tag", "three"], RunList),
        ("/jobs", ["jobs"], JobList),
    ):
        answer = server.get(path)
        shown = server.run(*command, "--json").stdout.rstrip(b"\n")
        # A run that another test has begun may have ended in between.
        assert shown in (answer, server.get(path))
        msgspec.json.decode(answer, type=kind)


def test_json_on_a_terminal_is_indented(server: Server, three: tuple[str, str, str]) -> None:
    shown = on_terminal(server, "show", "--json", three[2])
    assert len(shown.splitlines()) > 10
    assert msgspec.json.decode(shown.encode(), type=RunView).id == three[2]


def test_jobs_are_listed_in_file_order_with_their_parameters(server: Server) -> None:
    table = lines(server.output("jobs"))
    assert [row[0] for row in table] == ["greet", "both", "stubborn", "needs-a-number"]
    assert table[0][2:] == ["whom times", "Greets"]


def test_a_job_shows_what_its_parameters_may_be(server: Server) -> None:
    shown = server.output("jobs", "greet")
    assert "whom (string): default world" in shown
    assert "times (int): default 1; at least 1; at most 8" in shown
    assert "n (int): required" in server.output("jobs", "needs-a-number")


@pytest.mark.parametrize(
    "command",
    [
        ["show", "no-such-run"],
        ["show", "--events", "no-such-run"],
        ["cancel", "no-such-run"],
        ["signal", "no-such-run", "HUP"],
        ["retry", "no-such-run"],
        ["logs", "no-such-run"],
        ["logs", "-f", "no-such-run"],
        ["show", "../jobs"],
        ["logs", "-f", "a b"],
        ["jobs", "no-such-job"],
        ["jobs", "../runs"],
    ],
)
def test_what_is_not_there_is_code_66_and_one_line(server: Server, command: list[str]) -> None:
    done = server.run(*command)
    assert (done.returncode, done.stdout) == (66, b"")
    assert done.stderr.decode().startswith("runwire: there is no ")
    assert done.stderr.count(b"\n") == 1


# --- cancel, signal, retry ------------------------------------------------------------------------


def start_stubborn(server: Server) -> str:
    """A run that ignores TERM, once it does."""
    run_id = server.submit("stubborn")
    wait_ready(server, run_id)
    return run_id


def wait_ready(server: Server, run_id: str) -> None:
    """Return once it has said so."""
    followed = subprocess.Popen(
        [RUNWIRE, "logs", "-f", run_id], env=server.environment, stdout=subprocess.PIPE
    )
    with followed:
        assert followed.stdout is not None
        assert followed.stdout.readline() == b"ready\n"
        followed.kill()


def test_cancel_force_wait_returns_when_the_run_has_been_killed(server: Server) -> None:
    run_id = start_stubborn(server)
    assert lines(server.output("cancel", run_id)) == [[run_id, "running (cancelling)"]]
    assert server.run("cancel", run_id).returncode == 0  # asking again is harmless
    done = lines(server.output("cancel", "--force", "--wait", run_id))
    assert done == [[run_id, "cancelled"]]
    run = server.run_view(run_id)
    assert (run.status, run.signal) == (Status.CANCELLED, "KILL")
    shown = server.output("show", run_id)
    assert " TERM to " in shown
    assert " KILL to " in shown
    assert "it had to be killed" in shown
    assert server.run("cancel", run_id).returncode == 0


def test_cancel_takes_another_signal_and_grace(server: Server) -> None:
    run_id = start_stubborn(server)
    server.output("cancel", "--signal", "HUP", "--grace", "30m", "--wait", run_id)
    run = server.run_view(run_id)
    assert run.signal == "HUP"
    assert run.stop is not None
    assert [step.signal for step in run.stop.steps] == ["HUP"]


def test_a_stop_may_be_for_the_first_process_alone(server: Server) -> None:
    line = "trap 'exit 4' TERM; sleep 60 & echo ready; wait"
    run_id = server.submit("--scope", "main", "--shell", line)
    wait_ready(server, run_id)
    server.output("signal", "--scope", "main", run_id, "CONT")
    done = lines(server.output("cancel", "--grace", "1h", "--wait", run_id))
    assert done == [[run_id, "cancelled"]]
    run = server.run_view(run_id)
    assert run.stop is not None
    assert run.stop.steps[0].target == f"process {run.pid}"
    shown = server.output("show", run_id)
    assert "wanted: TERM to its first process, after 1h KILL" in shown
    assert "later" in shown
    assert "over after" in shown


def test_a_run_may_be_given_limits(server: Server) -> None:
    limits = ["--no-output-timeout", "200ms", "--queue-timeout", "1h"]
    done = server.run("run", *limits, "--shell", "sleep 60")
    assert done.returncode == 128 + 15
    assert b"stopped because it wrote nothing for too long" in done.stderr


def test_cancel_of_several_does_what_it_can_and_tells_of_the_rest(server: Server) -> None:
    """The code is that of the first that failed."""
    ended = server.submit("greet")
    server.run("logs", "-f", ended)
    run_id = start_stubborn(server)
    done = server.run("cancel", "--force", "--wait", ended, "no-such-run", run_id)
    assert done.returncode == 73
    assert lines(done.stdout.decode()) == [[run_id, "cancelled"]]
    assert done.stderr.count(b"\n") == 2
    assert server.run_view(ended).status is Status.SUCCEEDED


def test_cancel_json_is_the_run(server: Server) -> None:
    run_id = start_stubborn(server)
    run = server.json(RunView, "cancel", "--json", "--force", "--wait", run_id)
    assert (run.id, run.status) == (run_id, Status.CANCELLED)


def test_signal_sends_it_and_changes_nothing_else(server: Server) -> None:
    run_id = start_stubborn(server)
    assert server.output("signal", run_id, "SIGUSR1") == ""
    server.run("logs", "-f", run_id)
    run = server.run_view(run_id)
    assert (run.status, run.reason, run.signal) == (Status.FAILED, Reason.SIGNAL, "USR1")
    done = server.run("signal", run_id, "HUP")
    assert done.returncode == 73
    done = server.run("signal", run_id, "HUPP")
    assert done.returncode in (65, 73)


def test_retry_makes_a_new_run_of_the_same_spec(
    server: Server, three: tuple[str, str, str]
) -> None:
    again = server.output("retry", three[1]).strip()
    run = server.run_view(again)
    assert (run.attempt, run.retry_of, run.job) == (2, three[1], "both")
    assert "attempt:" in server.output("show", again)
    assert server.json(RunView, "retry", "--json", three[1]).attempt == 2


# --- finding the server ---------------------------------------------------------------------------


def test_the_server_is_found_by_url_and_token_too(server: Server) -> None:
    flags = ["--url", server.url, "--token", "devtoken"]
    assert server.run("jobs", *flags).returncode == 0
    by_environment = server.run(
        "jobs", RUNWIRE_URL=server.url, RUNWIRE_TOKEN="devtoken", RUNWIRE_SOCKET=""
    )
    assert by_environment.returncode == 0


def test_a_flag_wins_over_the_environment(server: Server) -> None:
    done = server.run(
        "jobs", "--socket", server.socket, RUNWIRE_SOCKET="", RUNWIRE_URL="http://x:1"
    )
    assert done.returncode == 0


@pytest.mark.parametrize("token", [[], ["--token", "wrong"]])
def test_without_a_good_token_the_url_is_denied(server: Server, token: list[str]) -> None:
    done = server.run("jobs", "--url", server.url, *token)
    assert (done.returncode, done.stdout) == (77, b"")
    assert done.stderr.count(b"\n") == 1


def test_without_flags_it_is_found_where_serve_would_put_it(server: Server) -> None:
    """By RUNWIRE_STATE_DIR, or by ./jobs.toml."""
    found = server.run("jobs", RUNWIRE_SOCKET="", RUNWIRE_STATE_DIR=str(server.state))
    assert found.returncode == 0


def test_the_jobs_toml_here_says_where_the_server_is(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "jobs.toml"
    file.write_text(f'[supervisor]\nstate_dir = "{server.state}"\n', encoding="utf-8")
    assert server.run("jobs", cwd=tmp_path, RUNWIRE_SOCKET="").returncode == 0
    file.write_text("broken", encoding="utf-8")
    elsewhere = {"RUNWIRE_SOCKET": "", "RUNWIRE_STATE_DIR": str(server.state)}
    assert server.run("jobs", cwd=tmp_path, **elsewhere).returncode == 0


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--socket", "/nonexistent/x.sock"], 69, "runwire serve"),
        (["--url", "http://127.0.0.1:1"], 69, "127.0.0.1:1"),
        (["--url", "gopher://x"], 65, "url: "),
        (["--token", "a b"], 65, "token: "),
        (["--url", "http://x", "--socket", "/x"], 2, "not by both"),
        (["--socket", "/" + "x" * 200], 69, "path too long"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told(
    server: Server, flags: list[str], code: int, said: str
) -> None:
    done = server.run("jobs", *flags)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["logs", "-f", "r"], ["run", "--", "true"]])
def test_a_server_that_was_never_there_is_not_waited_for(
    server: Server, command: list[str]
) -> None:
    done = server.run(*command, RUNWIRE_SOCKET="/nonexistent/x.sock")
    assert (done.returncode, done.stdout) == (69, b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_socket_of_another_user_is_denied(server: Server) -> None:
    os.chmod(server.socket, 0)  # noqa: PTH101
    try:
        assert server.run("jobs").returncode == 77
    finally:
        os.chmod(server.socket, 0o660)  # noqa: PTH101
