"""`runwire search` shows lines of a log as grep does, and says by its exit code if there were any."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Echo, Server, on_terminal, tell_in_order


@pytest.fixture(scope="module")
def log(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    echo = Echo(tmp_path_factory.mktemp("echo"))
    run_id = server.submit(*echo.command)
    tell_in_order(server, run_id, echo, "one", "Two words", "three", "!two words", "four")
    echo.tell(".")
    server.output("logs", "-f", run_id)
    echo.close()
    return run_id


def found(server: Server, *arguments: str, code: int = 0) -> list[str]:
    done = server.run("search", *arguments)
    assert (done.returncode, done.stderr) == (code, b"")
    return done.stdout.decode().splitlines()


def test_lines_with_the_text_are_printed(server: Server, log: str) -> None:
    assert found(server, log, "words") == ["Two words", "two words"]
    assert found(server, log, "two") == ["two words"]
    assert found(server, "-i", log, "TWO") == ["Two words", "two words"]
    assert found(server, "--stream", "stderr", log, "o") == ["two words"]


def test_nothing_found_is_exit_code_1(server: Server, log: str) -> None:
    assert found(server, log, "five", code=1) == []
    assert found(server, "--stream", "stderr", log, "one", code=1) == []


def test_an_expression_is_asked_for(server: Server, log: str) -> None:
    assert found(server, log, "o.e", code=1) == []
    assert found(server, "-E", log, "^(o.e|f)") == ["one", "four"]
    done = server.run("search", "-E", log, "(")
    assert done.returncode == 65
    assert b"q: " in done.stderr


def test_context_is_of_the_same_stream_with_dashes_between(server: Server, log: str) -> None:
    assert found(server, "-C", "1", log, "words") == [
        "one",
        "Two words",
        "three",
        "--",
        "two words",
    ]


def test_offsets_are_places_for_logs(server: Server, log: str) -> None:
    assert found(server, "-b", "-C", "1", log, "thr") == ["-Two words", "14:three", "-four"]
    assert server.output("logs", "--from", "14", log).startswith("three\n")
    assert found(server, "--from", "14", log, "o") == ["two words", "four"]


def test_a_limit_ends_it(server: Server, log: str) -> None:
    assert found(server, "-m", "1", log, "words") == ["Two words"]


def test_a_text_that_begins_with_a_dash_stands_behind_dashes(server: Server, log: str) -> None:
    assert found(server, "--", log, "-x", code=1) == []


def test_all_hits_are_printed_however_many_a_server_tells_at_once(server: Server) -> None:
    run_id = server.submit("--shell", "seq 2500")
    server.output("logs", "-f", run_id)
    assert found(server, "-E", run_id, "^") == [str(number) for number in range(1, 2501)]
    assert len(found(server, "-m", "1700", "-E", run_id, "^")) == 1700


def test_json_is_what_the_server_tells_with_one_end(server: Server, log: str) -> None:
    *hits, end = map(json.loads, found(server, "--json", log, "words"))
    assert [hit["text"] for hit in hits] == ["Two words", "two words"]
    assert (end["type"], end["hits"], end["complete"]) == ("end", 2, True)
    (end,) = map(json.loads, found(server, "--json", log, "five", code=1))
    assert end["hits"] == 0
    many = server.submit("--shell", "seq 1200")
    server.output("logs", "-f", many)
    *hits, end = map(json.loads, found(server, "--json", "-E", many, "^"))
    assert (len(hits), end["hits"]) == (1200, 1200)
    assert end["searched"] >= 4893


def test_on_a_terminal_a_match_has_a_colour(server: Server, log: str) -> None:
    shown = on_terminal(server, "search", "-b", log, "wor", TERM="xterm")
    assert "\x1b[32m4\x1b[0m\x1b[36m:\x1b[0mTwo \x1b[31m\x1b[1mwor\x1b[0mds\n" in shown
    assert on_terminal(server, "search", log, "hre", NO_COLOR="1") == "three\n"


def test_bytes_that_are_not_kept_are_told_apart(own_server: Server) -> None:
    jobs = own_server.directory / "jobs.toml"
    with jobs.open("a") as file:
        file.write(
            '\n[jobs.small]\nshell = "seq 100000"\nmax_log = "64K"\non_full = "stop-capture"\n'
        )
    own_server.stop()
    own_server.start()
    run_id = own_server.submit("small")
    own_server.run("logs", "-f", run_id)
    done = own_server.run("search", run_id, "77777")
    assert done.returncode == 1
    assert b"are not kept and were not searched" in done.stderr


def test_a_run_that_is_not_there_is_not_nothing_found(server: Server) -> None:
    assert server.run("search", "nowhere", "x").returncode == 66
