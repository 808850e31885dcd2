"""run and logs against a real server: exact bytes, codes, Ctrl-C."""

from __future__ import annotations

import hashlib
import os
import pty
import signal
import subprocess

import pytest
import trio

from supervisor.model import Status
from tests.cli.conftest import (
    RUNWIRE,
    Echo,
    Server,
    read_all,
    read_until,
    tell_in_order,
    wait_known,
)
from tests.patience import PATIENCE_S

TRAPS_TERM = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 0.02; done"


# --- run ------------------------------------------------------------------------------------------


def test_run_gives_both_streams_and_the_code_of_the_run(server: Server) -> None:
    done = server.run("run", "both")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_run_passes_every_byte_on(server: Server) -> None:
    """More than fits into any buffer on the way, with all byte values, on both streams."""
    program = (
        "import sys, random; r = random.Random(1); out = r.randbytes(3_000_000);"
        "err = r.randbytes(700_000);"
        "[(sys.stdout.buffer.write(out[i * 3000:i * 3000 + 3000]),"
        " sys.stderr.buffer.write(err[i * 700:i * 700 + 700])) for i in range(1000)]"
    )
    done = server.run("run", "--", "python3", "-c", program)
    directly = subprocess.run(["python3", "-c", program], capture_output=True, check=True)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(directly.stdout).digest()
    assert hashlib.sha256(done.stderr).digest() == hashlib.sha256(directly.stderr).digest()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--", "sh", "-c", "exit 69"], 69, b""),
        (["--", "sh", "-c", "kill -SEGV $$"], 139, b""),
        (["--", "sh", "-c", "kill -9 $$"], 137, b""),
        (["--shell", "exit 5"], 5, b""),
        (["--", "no-such-program-anywhere"], 126, b'cannot find the program "no-such-program'),
        (["--cwd", "/no/such/dir", "--", "true"], 126, b"/no/such/dir"),
        (["--timeout", "100ms", "--", "sleep", "60"], 143, b"timeout"),
        (["no-such-job"], 66, b"there is no job"),
    ],
)
def test_run_exits_with_the_runs_own_code_or_a_documented_one(
    server: Server, arguments: list[str], code: int, said: bytes
) -> None:
    """What the code does not tell is one line on stderr; otherwise stderr is the run's alone."""
    done = server.run("run", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr
    assert done.stderr.count(b"\n") == (1 if said else 0)


def test_a_run_that_ends_well_when_its_time_is_up_is_a_timeout_even_so(server: Server) -> None:
    for limit in ("100ms", "3s", "30s"):
        shell = ("--shell", "trap 'exit 0' TERM; sleep 60 & wait")
        done = server.run("run", "--timeout", limit, *shell)
        if done.returncode != 128 + signal.SIGTERM:
            break  # else the time was up before it could say what it does then
    assert (done.returncode, done.stdout) == (124, b"")
    assert b"timeout" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_run_json_prints_the_ended_run_instead_of_its_output(server: Server) -> None:
    done = server.run("run", "--json", "--id", "told", "both")
    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout.rstrip(b"\n") == server.get("/runs/told")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_cancels_the_run_and_shows_its_last_words(
    server: Server, signum: signal.Signals
) -> None:
    with trio.fail_after(PATIENCE_S):
        async with server.running("run", "--id", f"c{signum}", "--shell", TRAPS_TERM) as process:
            await read_until(process.stdout, b"ready\n")
            process.send_signal(signum)
            assert await read_all(process.stdout) == b"bye\n"
            assert await process.wait() == 7
    run = server.run_view(f"c{signum}")
    assert run.status is Status.CANCELLED
    assert run.stop is not None
    assert run.stop.requested_by.kind == "user"


async def test_a_second_ctrl_c_kills_it(server: Server) -> None:
    with trio.fail_after(PATIENCE_S):
        command = ["run", "--id", "second", "--grace", "1h", "--shell", IGNORES_TERM]
        async with server.running(*command) as process:
            await read_until(process.stdout, b"ready\n")
            process.send_signal(signal.SIGINT)
            await wait_cancelling(server, "second")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 137


async def test_a_third_ctrl_c_leaves_even_if_the_server_stands_still(own_server: Server) -> None:
    """Someone at a terminal is told each time what it did."""
    terminal, theirs = pty.openpty()
    command = ["run", "--id", "third", "--grace", "1h", "--shell", IGNORES_TERM]
    with trio.fail_after(PATIENCE_S):
        async with own_server.running(*command, stderr=theirs) as process:
            os.close(theirs)
            await read_until(process.stdout, b"ready\n")
            assert own_server.process is not None
            own_server.process.send_signal(signal.SIGSTOP)
            try:
                async with trio.lowlevel.FdStream(terminal) as shown:
                    for said in (b"again to kill it", b"killing the run", b"run third goes on"):
                        process.send_signal(signal.SIGINT)
                        await read_until(shown, said + b"\r\n")
                assert await process.wait() == 130
            finally:
                own_server.process.send_signal(signal.SIGCONT)


async def test_ctrl_c_of_a_run_that_waits_keeps_it_from_starting(narrow_server: Server) -> None:
    narrow_server.submit("--", "sleep", "1000")
    with trio.fail_after(PATIENCE_S):
        async with narrow_server.running("run", "--id", "waits", "--", "true") as process:
            await wait_known(narrow_server, "waits")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
    run = narrow_server.run_view("waits")
    assert (run.status, run.started_at) == (Status.CANCELLED, None)


async def wait_cancelling(server: Server, run_id: str) -> None:
    """Until the server knows that the run is to end."""
    while server.run_view(run_id).cancel_requested_at is None:  # noqa: ASYNC110 - it is another process
        await trio.sleep(0.005)


def test_a_reader_that_goes_away_ends_the_run_quietly(server: Server) -> None:
    """As it ends a program that is not run by us."""
    line = '"$0" run --id endless -- yes | head -n 2; echo "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", line, RUNWIRE],
        env=server.environment,
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout == b"y\ny\n143\n"
    assert done.stderr.count(b"\n") <= 1
    assert server.run_view("endless").status is Status.CANCELLED


async def test_output_that_cannot_be_written_is_told(server: Server) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with trio.fail_after(PATIENCE_S):
        async with server.running("run", "both", stdout=full) as process:
            os.close(full)
            error = await read_all(process.stderr)
            assert await process.wait() == 74
    assert b"No space left" in error
    assert b"Traceback" not in error


async def test_ctrl_c_works_while_nobody_reads_the_output(server: Server) -> None:
    with trio.fail_after(PATIENCE_S):
        async with server.running("run", "--id", "unread", "--", "yes") as process:
            await wait_log_beyond(server, "unread", 1_000_000)
            process.send_signal(signal.SIGINT)
            await wait_cancelling(server, "unread")
            last = await read_all(process.stdout)
            assert await process.wait() == 143
    assert set(last) == {ord("y"), ord("\n")}


async def wait_log_beyond(server: Server, run_id: str, size: int) -> None:
    """Until the log is so long."""
    await wait_known(server, run_id)
    while server.run_view(run_id).log.size <= size:  # noqa: ASYNC110 - it is another process
        await trio.sleep(0.005)


# --- logs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ended(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with the log `one\\nTWO\\nthree\\n`, of which TWO is on stderr."""
    echo = Echo(tmp_path_factory.mktemp("echo"))
    run_id = server.submit(*echo.command)
    tell_in_order(server, run_id, echo, "one", "!TWO", "three")
    echo.tell(".")
    server.output("logs", "-f", run_id)
    echo.close()
    return run_id


@pytest.mark.parametrize("follow", [[], ["-f"]])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], b"one\nTWO\nthree\n"),
        (["--from", "4"], b"TWO\nthree\n"),
        (["--from", "5"], b"WO\nthree\n"),
        (["--from", "14"], b""),
        (["--from=-6"], b"three\n"),
        (["--from=-8"], b"TWO\nthree\n"),
        (["--from=-1000"], b"one\nTWO\nthree\n"),
        (["--stream", "stdout"], b"one\nthree\n"),
        (["--stream", "stderr"], b"TWO\n"),
        (["--stream", "stdout", "--from", "2"], b"e\nthree\n"),
    ],
)
def test_logs_prints_the_bytes_from_an_offset_of_all_or_one_stream(
    server: Server, ended: str, options: list[str], expected: bytes, follow: list[str]
) -> None:
    done = server.run("logs", *follow, *options, ended)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


async def test_logs_without_follow_prints_what_there_is_and_ends(
    server: Server, echo: Echo
) -> None:
    run_id = server.submit(*echo.command)
    echo.tell("so-far")
    with trio.fail_after(PATIENCE_S):
        async with server.running("logs", "-f", run_id) as following:
            await read_until(following.stdout, b"so-far\n")
        assert server.run("logs", run_id).stdout == b"so-far\n"
    server.output("cancel", "--wait", run_id)


def test_logs_into_a_closed_pipe_is_quiet(server: Server) -> None:
    run_id = server.submit("--", "seq", "200000")
    server.run("logs", "-f", run_id)
    for options in ("", "-f"):
        line = f'"$0" logs {options} {run_id} | head -n 1; echo "${{PIPESTATUS[0]}}"'
        done = subprocess.run(
            ["bash", "-c", line, RUNWIRE],
            env=server.environment,
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
        )
        assert (done.stdout, done.stderr) == (b"1\n141\n", b"")


async def test_ctrl_c_ends_logs_and_not_the_run(server: Server, echo: Echo) -> None:
    run_id = server.submit(*echo.command)
    echo.tell("here")
    with trio.fail_after(PATIENCE_S):
        async with server.running("logs", "-f", run_id) as following:
            await read_until(following.stdout, b"here\n")
            following.send_signal(signal.SIGINT)
            assert await following.wait() == 130
            assert b"Traceback" not in await read_all(following.stderr)
    assert server.run_view(run_id).status is Status.RUNNING
    server.output("cancel", "--wait", run_id)
