"""Runs go on when the server is killed, if somebody keeps their descriptors for the next one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.model import Reason, Status
from supervisor.processes.cgroup import Cgroups, open_cgroups
from supervisor.spec import OutputMode, StdinMode, TerminalSize
from supervisor.wire import CancelRequest
from tests.managed import Managed, until, waits

ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    """It takes control groups."""
    groups = open_cgroups(f"survival-{os.getpid()}")
    if not isinstance(groups, Cgroups):
        pytest.skip(groups)
    groups.tidy()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Managed]]:
    """Servers that are gone afterwards, with all that they have started."""
    made: list[Managed] = []

    def make(**options: object) -> Managed:
        server = Managed(tmp_path, **options)  # type: ignore[arg-type]
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make: Callable[..., Managed]) -> Managed:
    return make()


@pytest.fixture(params=[True, False], ids=["kernel tells", "watched"])
def either(make: Callable[..., Managed], request: pytest.FixtureRequest) -> Managed:
    """One with each way to know how a program ended that an earlier server has started."""
    return make(kernel_tells=request.param)


def test_its_output_is_whole_and_its_exit_code_known(either: Managed) -> None:
    """What it writes before the server falls, while there is none, and to the one that follows."""
    run_id = either.submit(
        f"echo before; echo warning >&2; {waits('fallen')}; seq 20000; touch written;"
        f"{waits('back')}; echo after; exit 7"
    )
    either.wait_log(run_id, b"warning")
    before = either.run(run_id)
    assert before.survives_restart
    either.end()
    either.allow("fallen")
    either.start()
    until((either.directory / "written").exists)
    assert either.run(run_id).process == before.process
    either.restart()
    either.allow("back")
    ended = either.wait_ended(run_id)
    assert (ended.status, ended.reason, ended.exit_code) == (Status.FAILED, Reason.EXIT_CODE, 7)
    numbers = b"".join(b"%d\n" % number for number in range(1, 20001))
    log = either.log(run_id)
    assert sorted(log.splitlines()) == sorted(
        [*b"before\nwarning\nafter\n".splitlines(), *numbers.splitlines()]
    )
    assert log.endswith(numbers + b"after\n")
    assert either.events(run_id).count("reattached") == 2
    until(lambda: either.kept() == [])


@pytest.mark.parametrize(
    ("end", "code", "name"), [("exit 3", 3, None), ("kill -SEGV $$", None, "SEGV")]
)
def test_an_end_while_there_is_no_server_is_known(
    either: Managed, end: str, code: int | None, name: str | None
) -> None:
    run_id = either.submit(f"{waits('fallen')}; echo last words; touch over; {end}")
    pid = either.wait(run_id, Status.RUNNING).pid
    either.end()
    either.allow("fallen")
    until(lambda: not Path(f"/proc/{pid}").exists())
    either.start()
    ended = either.wait_ended(run_id)
    assert (ended.status, ended.exit_code, ended.signal) == (Status.FAILED, code, name)
    assert ended.output_complete
    assert either.log(run_id) == b"last words\n"


def test_a_run_on_a_terminal_stays_on_it(server: Managed) -> None:
    run_id = server.submit(
        "stty -echo; echo ready; read -r line; echo got $line; stty size; read -r _",
        output=OutputMode.PTY,
    )
    server.wait_log(run_id, b"ready")
    server.restart()
    server.client.resize(run_id, TerminalSize(columns=97, rows=31))
    server.client.input(run_id, b"typed\n")
    server.wait_log(run_id, b"got typed\r\n31 97\r\n")
    server.restart()
    assert server.run(run_id).terminal == TerminalSize(columns=97, rows=31)
    server.client.input(run_id, b"\n")
    assert server.wait_ended(run_id).status is Status.SUCCEEDED


@pytest.mark.parametrize("falls", [False, True])
def test_the_end_of_its_input_is_the_end_whoever_keeps_a_copy(
    server: Managed, *, falls: bool
) -> None:
    run_id = server.submit("cat; echo over", stdin=StdinMode.OPEN)
    server.wait(run_id, Status.RUNNING)
    server.client.input(run_id, b"one\n")
    if falls:
        server.restart()
    server.client.input(run_id, b"two\n", eof=True)
    assert server.wait_ended(run_id).status is Status.SUCCEEDED
    assert server.log(run_id) == b"one\ntwo\nover\n"


def test_input_that_was_closed_stays_closed(server: Managed) -> None:
    run_id = server.submit(f"cat; echo over; {waits('go')}", stdin=StdinMode.OPEN)
    server.wait(run_id, Status.RUNNING)
    server.client.input(run_id, b"", eof=True)
    server.wait_log(run_id, b"over")
    server.restart()
    with pytest.raises(Exception, match="its input was closed"):
        server.client.input(run_id, b"more")
    server.allow("go")
    assert server.wait_ended(run_id).status is Status.SUCCEEDED


def test_a_stop_goes_on_where_it_was(server: Managed) -> None:
    """The signal is not sent again, and the grace is not given anew."""
    run_id = server.submit("trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done")
    server.wait_log(run_id, b"ready")
    server.client.cancel(run_id, CancelRequest(grace="2s"))
    server.wait_log(run_id, b"asked")
    server.restart()
    ended = server.wait_ended(run_id)
    assert ended.status is Status.CANCELLED
    assert ended.stop is not None
    assert [step.signal for step in ended.stop.steps] == ["TERM", "KILL"]
    assert ended.stop.escalated
    assert server.log(run_id).startswith(b"ready\n")


def test_who_ends_after_our_signal_while_there_is_no_server_was_cancelled(either: Managed) -> None:
    run_id = either.submit(f"trap '{waits('fallen')}; exit 0' TERM; echo ready; {waits('never')}")
    either.wait_log(run_id, b"ready")
    pid = either.run(run_id).pid
    either.client.cancel(run_id, CancelRequest(grace="1h"))
    either.end()
    either.allow("fallen")
    until(lambda: not Path(f"/proc/{pid}").exists())
    either.start()
    assert either.wait_ended(run_id).status is Status.CANCELLED


def test_a_time_limit_that_passed_meanwhile_counts(server: Managed) -> None:
    run_id = server.submit(waits("never"), timeout="1s")
    server.wait(run_id, Status.RUNNING, Status.FAILED)
    server.restart()
    ended = server.wait_ended(run_id)
    assert (ended.status, ended.reason) == (Status.FAILED, Reason.TIMEOUT)


def test_a_paused_run_stays_paused_until_it_is_resumed(server: Managed) -> None:
    run_id = server.submit(f"{waits('go')}; echo done")
    server.wait(run_id, Status.RUNNING)
    server.client.pause(run_id)
    server.restart()
    server.allow("go")
    assert server.run(run_id).paused_at is not None
    server.client.resume(run_id)
    assert server.wait_ended(run_id).status is Status.SUCCEEDED


def test_a_pause_that_is_not_on_record_was_none(server: Managed) -> None:
    """The server was killed before it was: else nobody would know that the run stands still."""
    run_id = server.submit(f"{waits('go')}; echo done")
    server.wait(run_id, Status.RUNNING)
    server.end()
    groups = open_cgroups((server.directory / "s" / "instance").read_text().split()[0])
    assert isinstance(groups, Cgroups)
    group = groups.find(run_id)
    assert group is not None
    group.freeze(on=True)
    server.start()
    server.allow("go")
    assert server.wait_ended(run_id).status is Status.SUCCEEDED


def test_what_its_program_left_behind_is_found_and_ended(either: Managed) -> None:
    """Its first process is gone, and with it what tells who belongs to its session."""
    run_id = either.submit(f"setsid sleep 1000 & echo $!; {waits('fallen')}")
    either.wait_log(run_id, b"\n")
    pid = either.run(run_id).pid
    either.end()
    either.allow("fallen")
    until(lambda: not Path(f"/proc/{pid}").exists())
    either.start()
    ended = either.wait_ended(run_id)
    assert ended.status is Status.SUCCEEDED
    assert ended.killed == (int(either.log(run_id)),)


def test_a_cancel_reaches_all_of_it(either: Managed) -> None:
    run_id = either.submit("trap '' TERM; setsid sleep 1000 & (sleep 1000 &); echo $!; sleep 1000")
    either.wait_log(run_id, b"\n")
    either.restart()
    either.client.cancel(run_id, CancelRequest(force=True))
    ended = either.wait_ended(run_id)
    assert (ended.status, ended.survivors) == (Status.CANCELLED, ())
    # The service manager, whose child it has become, reaps it in its own time.
    until(lambda: not Path(f"/proc/{int(either.log(run_id))}").exists())


def test_who_finds_no_room_says_so_and_ends_with_the_server(make: Callable[..., Managed]) -> None:
    server = make(room=5)
    first = server.submit(f"echo $$; {waits('go')}")
    server.wait_log(first, b"\n")
    second = server.submit(f"echo $$; {waits('go')}")
    server.wait_log(second, b"\n")
    assert [server.run(it).survives_restart for it in (first, second)] == [True, False]
    assert f"run {second} will not survive a restart" in server.said()
    server.restart()
    assert server.wait_ended(second).reason is Reason.LOST
    server.allow("go")
    assert server.wait_ended(first).status is Status.SUCCEEDED
    third = server.submit("true")
    assert server.wait_ended(third).survives_restart


def test_without_control_groups_nothing_survives(make: Callable[..., Managed]) -> None:
    server = make(setting='process_tracking = "group"')
    run_id = server.submit("echo $$; sleep 1000")
    server.wait_log(run_id, b"\n")
    assert not server.run(run_id).survives_restart
    assert server.kept() == []
    server.restart()
    assert server.wait_ended(run_id).reason is Reason.LOST


def test_a_stop_ends_all_that_runs(server: Managed) -> None:
    run_id = server.submit("echo $$; sleep 1000")
    server.wait_log(run_id, b"\n")
    assert server.end(signal.SIGTERM) == 0
    assert server.kept() == []
    server.start()
    assert server.run(run_id).status is Status.CANCELLED


def test_what_a_watched_run_used_is_known_as_without(make: Callable[..., Managed]) -> None:
    server = make(kernel_tells=False)
    run_id = server.submit("i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; exit 3")
    ended = server.wait_ended(run_id)
    assert ended.exit_code == 3
    assert ended.usage is not None
    assert ended.usage.user_s > 0


def test_nobody_knows_how_it_ended_if_who_watched_it_was_killed(
    make: Callable[..., Managed],
) -> None:
    server = make(kernel_tells=False)
    run_id = server.submit(f"echo $PPID; {waits('go')}")
    server.wait_log(run_id, b"\n")
    os.kill(int(server.log(run_id)), signal.SIGKILL)
    server.allow("go")
    ended = server.wait_ended(run_id)
    assert (ended.reason, ended.exit_code) == (Reason.LOST, None)
    assert "nobody saw how" in ended.message
