"""The launcher: exactly the process asked for, behind a gate, or a reason why there is none."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from msgspec import Struct

from supervisor.errors import LaunchError
from supervisor.model import ProcessRef
from supervisor.processes import launcher as launcher_module
from supervisor.processes import procfs
from supervisor.processes.launcher import GatedProcess, Launcher, LaunchRequest
from supervisor.processes.launcher_child import NEVER_STARTED
from supervisor.testing import wait_until
from tests.descriptors import free_descriptors, none_is_left

PYTHON = (sys.executable, "-I", "-S", "-c")
ENV = {"PATH": "/usr/bin:/bin"}


class Result(Struct, frozen=True):
    """What came of one program."""

    stdout: bytes
    stderr: bytes
    code: int
    failure: str | None


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    """A launcher; afterwards no child of ours and no descriptor is left that was not there."""
    others = procfs.children()
    with none_is_left():
        launcher = Launcher()
        yield launcher
        launcher.close()
        assert procfs.children() - others == set()


def request(*argv: str, env: dict[str, str] | None = None, cwd: str | Path = "/") -> LaunchRequest:
    return LaunchRequest(argv=argv, env=ENV if env is None else env, cwd=str(cwd))


@contextmanager
def pipes() -> Iterator[tuple[tuple[int, int, int], Callable[[], tuple[bytes, bytes]]]]:
    """Descriptors for a program, and what reads both outputs to their end."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    out, out_writer = os.pipe2(os.O_CLOEXEC)
    err, err_writer = os.pipe2(os.O_CLOEXEC)
    ours = [null, out_writer, err_writer]

    def read() -> tuple[bytes, bytes]:
        while ours:
            os.close(ours.pop())
        with open(out, "rb", closefd=False) as stdout, open(err, "rb", closefd=False) as stderr:
            return stdout.read(), stderr.read()

    try:
        yield (null, out_writer, err_writer), read
    finally:
        for fd in (*ours, out, err):
            os.close(fd)


async def carry_out(launcher: Launcher, wanted: LaunchRequest) -> Result:
    """Launch, open the gate, read both outputs, reap."""
    with trio.fail_after(60), pipes() as (stdio, read), await launcher.launch(wanted, stdio) as it:
        it.open_gate()
        stdout, stderr = await trio.to_thread.run_sync(read)
        await it.wait_exited()
        code, _usage = it.reap()
        assert code is not None
        return Result(stdout, stderr, code, it.start_failure(wanted))


async def home(it: GatedProcess) -> int:
    """Close the gate and wait for what has never run; its status."""
    it.close_gate()
    await it.wait_exited()
    code, _usage = it.reap()
    assert code is not None
    return code


# --- exactly what was asked for ------------------------------------------------------------------


async def test_the_environment_arrives_byte_for_byte(launcher: Launcher) -> None:
    """In order, with names and values that no shell would pass on."""
    env = {
        "PATH": "/bin",
        "a.b": "dot",
        "1X": "digit",
        "with space": "x y",
        "BASH_FUNC_f%%": "() { :; }",
        "EMPTY": "",
        "LINES_": "one\ntwo\r\n",
        "EQUALS": "a=b=c",
        "UNICODE": "grüße €",
        "RAW": os.fsdecode(b"\xff\xfe\x80"),
        os.fsdecode(b"N\xffAME"): "1",
    }
    done = await carry_out(launcher, request("cat", "/proc/self/environ", env=env))
    assert done.code == 0
    assert done.stdout.split(b"\0")[:-1] == [
        os.fsencode(f"{name}={text}") for name, text in env.items()
    ]


async def test_arguments_arrive_byte_for_byte(launcher: Launcher) -> None:
    argv = (
        "cat",
        "/proc/self/cmdline",
        "-u",
        "--",
        "/dev/null",
    )
    done = await carry_out(launcher, request(*argv))
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(part) for part in argv]
    odd = ("", "a b", "'\"$(x)`", "grüße", os.fsdecode(b"\xff\x80"), "new\nline", "-")
    code = "import os; os.write(1, open('/proc/self/cmdline', 'rb').read())"
    done = await carry_out(launcher, request(*PYTHON, code, *odd))
    assert done.stdout.split(b"\0")[-len(odd) - 1 : -1] == [os.fsencode(part) for part in odd]


async def test_the_program_has_exactly_three_descriptors(launcher: Launcher) -> None:
    code = (
        "import os\n"
        "def there(n):\n"
        "    try: os.fstat(n)\n"
        "    except OSError: return False\n"
        "    return True\n"
        "print([n for n in range(1024) if there(n)])"
    )
    done = await carry_out(launcher, request(*PYTHON, code))
    assert done.stdout == b"[0, 1, 2]\n"


async def test_stdin_is_empty_and_both_outputs_are_apart(launcher: Launcher) -> None:
    done = await carry_out(launcher, request("/bin/sh", "-c", "cat; echo out; echo err >&2"))
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


async def test_no_signal_is_ignored_or_blocked(launcher: Launcher) -> None:
    """Whatever the server ignores (Python: SIGPIPE) or was started with (a shell's `&`: SIGQUIT)."""
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        done = await carry_out(launcher, request("cat", "/proc/self/status"))
    finally:
        signal.signal(signal.SIGQUIT, before)
    lines = done.stdout.decode().splitlines()
    assert {line.split()[1] for line in lines if line[:6] in {"SigIgn", "SigBlk"}} == {"0" * 16}


async def test_it_leads_its_own_session_and_is_our_child(launcher: Launcher) -> None:
    done = await carry_out(launcher, request("cat", "/proc/self/stat"))
    fields = done.stdout.split()
    pid, parent, group, session = (int(fields[n]) for n in (0, 3, 4, 5))
    assert pid == group == session
    assert parent == os.getpid()


async def test_it_starts_in_its_directory(launcher: Launcher, tmp_path: Path) -> None:
    """Also where its name is not UTF-8, and a relative program is looked for from there."""
    place = tmp_path / os.fsdecode(b"d\xffr")
    place.mkdir()
    script = place / "here.sh"
    script.write_text("#!/bin/sh\npwd\n")
    script.chmod(0o755)
    done = await carry_out(launcher, request("./here.sh", cwd=place))
    assert done.stdout == os.fsencode(place) + b"\n"


async def test_the_program_is_looked_for_in_its_own_path(
    launcher: Launcher, tmp_path: Path
) -> None:
    script = tmp_path / "only-here"
    script.write_text("#!/bin/sh\necho found\n")
    script.chmod(0o755)
    env = {"PATH": f"/nowhere:{tmp_path}"}
    done = await carry_out(launcher, request("only-here", env=env))
    assert done.stdout == b"found\n"
    assert (await carry_out(launcher, request("cat", "/dev/null", env={}))).code == 0


async def test_the_limit_of_open_files_can_be_another(launcher: Launcher) -> None:
    other = Launcher(open_files=123)
    try:
        done = await carry_out(other, request("/bin/sh", "-c", "ulimit -Sn"))
    finally:
        other.close()
    assert done.stdout == b"123\n"


async def test_many_at_once_are_not_mixed_up(launcher: Launcher) -> None:
    results: dict[int, Result] = {}

    async def one(number: int) -> None:
        code = f"echo {number}; exit {number}"
        results[number] = await carry_out(launcher, request("/bin/sh", "-c", code))

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(one, number)
    assert {n: (r.stdout, r.code) for n, r in results.items()} == {
        n: (b"%d\n" % n, n) for n in range(40)
    }


async def test_its_identity_is_the_kernels(launcher: Launcher) -> None:
    with pipes() as (stdio, _read), await launcher.launch(request("true"), stdio) as it:
        found = procfs.read_stat(it.ref.pid)
        assert found is not None
        assert found.start_ticks == it.ref.start_ticks
        assert await home(it) == NEVER_STARTED


# --- the gate ------------------------------------------------------------------------------------


async def test_a_closed_gate_starts_nothing(launcher: Launcher, tmp_path: Path) -> None:
    wanted = request("/bin/sh", "-c", f"touch {tmp_path}/ran")
    with pipes() as (stdio, _read), await launcher.launch(wanted, stdio) as it:
        assert await home(it) == NEVER_STARTED
        assert it.start_failure(wanted) == "the server went down before it began"
    assert not (tmp_path / "ran").exists()


SERVER = """
import os, sys, trio
from supervisor.processes.launcher import Launcher, LaunchRequest
async def main():
    launcher = Launcher()
    request = LaunchRequest(argv=["/bin/sh", "-c", f"touch {sys.argv[1]}"], env={}, cwd="/")
    null = os.open("/dev/null", os.O_RDWR)
    child = await launcher.launch(request, (null, null, null))
    print(child.ref.pid, child.ref.start_ticks, launcher._process.pid, flush=True)
    await trio.sleep_forever()
trio.run(main)
"""


async def test_the_gate_closes_with_the_server(tmp_path: Path) -> None:
    """A server that is killed before it opens the gate has started nothing, and leaves nothing."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "ran")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(launcher_module.__file__).parents[2])},
    )
    assert server.stdout is not None
    with server.stdout, trio.fail_after(60):
        line = await trio.to_thread.run_sync(server.stdout.readline)
        pid, start_ticks, launcher_pid = (int(word) for word in line.split())
        assert is_there(ProcessRef(pid, start_ticks, ""))
        server.kill()
        await trio.to_thread.run_sync(server.wait)
        await wait_until(lambda: not is_there(ProcessRef(pid, start_ticks, "")))
        await wait_until(lambda: procfs.read_stat(launcher_pid) is None)
    assert not (tmp_path / "ran").exists()


def is_there(ref: ProcessRef) -> bool:
    found = procfs.read_stat(ref.pid)
    return found is not None and not found.zombie and found.start_ticks == ref.start_ticks


# --- why it did not start ------------------------------------------------------------------------


async def failure(launcher: Launcher, wanted: LaunchRequest) -> str:
    done = await carry_out(launcher, wanted)
    assert (done.code, done.stdout, done.stderr) == (NEVER_STARTED, b"", b"")
    assert done.failure is not None
    return done.failure


async def test_a_missing_program_is_named_with_the_path_searched(launcher: Launcher) -> None:
    assert await failure(launcher, request("no-such", env={"PATH": "/a:/b"})) == (
        'cannot find the program "no-such" in PATH /a:/b'
    )
    assert await failure(launcher, request("/no/such")) == (
        'cannot execute "/no/such": No such file or directory (ENOENT)'
    )


async def test_a_missing_directory_is_named(launcher: Launcher, tmp_path: Path) -> None:
    assert await failure(launcher, request("true", cwd="/no/such")) == (
        'cannot enter the working directory "/no/such": No such file or directory (ENOENT)'
    )
    (tmp_path / "file").touch()
    assert "Not a directory (ENOTDIR)" in await failure(
        launcher, request("true", cwd=tmp_path / "file")
    )


async def test_a_missing_interpreter_is_named(launcher: Launcher, tmp_path: Path) -> None:
    """Found by its path or in PATH: not "no such file" for a file that everybody can see."""
    script = tmp_path / "bad-script"
    script.write_text("#! /no/such/interpreter -x\n")
    script.chmod(0o755)
    for name in (str(script), "bad-script"):
        said = await failure(launcher, request(name, env={"PATH": f"/bin:{tmp_path}"}))
        assert said == (
            f'cannot execute "{name}": the interpreter "/no/such/interpreter" '
            "that it needs is missing (ENOENT)"
        )


async def test_what_cannot_be_executed_is_told_why(launcher: Launcher, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert await failure(launcher, request(str(plain))) == (
        f'cannot execute "{plain}": Permission denied (EACCES)'
    )
    plain.chmod(plain.stat().st_mode | stat.S_IXUSR)
    plain.write_bytes(b"\x01\x02")
    assert await failure(launcher, request(str(plain))) == (
        f'cannot execute "{plain}": it is not a program, and no "#!" line names one (ENOEXEC)'
    )
    assert "Permission denied" in await failure(launcher, request(str(tmp_path)))


async def test_arguments_that_are_too_long_are_told(launcher: Launcher) -> None:
    assert "(E2BIG)" in await failure(launcher, request("true", "x" * 1_000_000))


async def test_what_no_program_can_be_given_is_told(launcher: Launcher) -> None:
    """A NUL byte in an argument, "=" in a variable's name: no crash, and no second launcher."""
    assert "null byte" in await failure(launcher, request("true", "a\0b"))
    assert "variable name" in await failure(launcher, request("true", env={"a=b": "c"}))
    with pytest.raises(LaunchError, match="cannot be encoded"), pipes() as (stdio, _read):
        await launcher.launch(request("true", "\ud800"), stdio)


# --- faults --------------------------------------------------------------------------------------


async def test_a_killed_launcher_is_replaced_and_harms_nobody(
    launcher: Launcher, tmp_path: Path
) -> None:
    """The next launch works, and what ran before goes on, its end still seen."""
    wanted = request("/bin/sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; exit 9")
    with pipes() as (stdio, _read), await launcher.launch(wanted, stdio) as it:
        it.open_gate()
        process = launcher._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert (await carry_out(launcher, request("true"))).code == 0
        assert launcher._process is not process
        assert not it.exited
        (tmp_path / "go").touch()
        await it.wait_exited()
        assert it.reap()[0] == 9


async def test_a_launcher_that_does_not_answer_is_replaced(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await carry_out(launcher, request("true"))).code == 0
    monkeypatch.setattr(launcher_module, "PATIENCE_S", 0.3)
    start = launcher._start

    def start_another(channel: int) -> subprocess.Popen[bytes]:
        monkeypatch.setattr(launcher_module, "PATIENCE_S", 60.0)  # which may take its time
        return start(channel)

    monkeypatch.setattr(launcher, "_start", start_another)
    assert launcher._process is not None
    os.kill(launcher._process.pid, signal.SIGSTOP)
    assert (await carry_out(launcher, request("true"))).code == 0


async def test_a_launcher_that_cannot_be_started_is_told(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = tmp_path / "not-executable"
    plain.touch()
    for program, words in ((str(plain), "Permission denied"), ("/bin/false", "it ended")):
        monkeypatch.setattr(sys, "executable", program)
        with pipes() as (stdio, _read), pytest.raises(LaunchError, match=words):
            await launcher.launch(request("true"), stdio)
    monkeypatch.undo()
    assert (await carry_out(launcher, request("true"))).code == 0


@pytest.mark.parametrize("running", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("free", range(14))
async def test_without_descriptors_there_is_a_reason_and_nothing_is_left(
    launcher: Launcher, free: int, *, running: bool
) -> None:
    """Wherever they run out: before the launcher, for a pipe, for the pidfd, for /proc."""
    if running:
        assert (await carry_out(launcher, request("true"))).code == 0
    with trio.fail_after(60), pipes() as (stdio, _read):
        said: str | None = None
        with free_descriptors(free):
            try:
                it = await launcher.launch(request("true"), stdio)
            except LaunchError as exc:
                said = exc.message
            else:
                with it:
                    assert await home(it) == NEVER_STARTED
        # Both ends of the gate and of the report; if it is the first, a launcher's start too.
        assert said is None if free >= 13 else said is not None or free >= 4
        assert said is None or "Too many open files" in said
        assert (await carry_out(launcher, request("true"))).code == 0


async def test_a_launcher_without_descriptors_refuses(launcher: Launcher) -> None:
    """It cannot take the program's descriptors: no process, instead of one with too few."""
    other = Launcher(open_files=6)
    try:
        with pipes() as (stdio, _read), pytest.raises(LaunchError, match="Too many open files"):
            await other.launch(request("true"), stdio)
    finally:
        other.close()


async def test_the_launcher_does_not_bear_the_marks_of_a_run(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may itself be part of a run; what waits at its gates is not."""
    monkeypatch.setenv("RUNWIRE_RUN_ID", "outer")
    with pipes() as (stdio, _read), await launcher.launch(request("true"), stdio) as it:
        assert b"PATH" in procfs.environment(it.ref.pid)
        assert b"RUNWIRE_RUN_ID" not in procfs.environment(it.ref.pid)
        await home(it)
