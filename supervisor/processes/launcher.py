"""Creates processes that wait at a gate, through the launcher process.

`Launcher.launch` gives a `GatedProcess`: it exists, has its own session and a pid that can be
recorded, and runs nothing until `open_gate`. If the server dies first, the gate closes with it and
the process exits: "dispatched but never started" is then certain, not a guess.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import msgspec
import trio
from msgspec import Struct

from supervisor.errors import LaunchError
from supervisor.model import ProcessRef
from supervisor.outcome import Usage
from supervisor.processes import launcher_child, procfs
from supervisor.processes.accounting import measure
from supervisor.processes.conditions import LaunchConditions, name_of
from supervisor.processes.ends import STATUS, ChildEnd, End, OrphanEnd, WatchedEnd
from supervisor.processes.orphans import launcher_mark
from supervisor.processes.tree import Leader
from supervisor.units import KIB

_BETTER_WORDS = {
    errno.E2BIG: "its arguments and environment are larger than the system allows (E2BIG)",
    errno.ENOEXEC: 'it is not a program, and no "#!" line names one (ENOEXEC)',
}
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET})
PROCESS, REPORT = "process", "report"
"""Roles of the descriptors that have to be kept for a server that comes after this one."""
PATIENCE_S = 10.0
"""A launcher that has not answered by then is taken for dead. It usually takes a millisecond."""


class LaunchRequest(Struct, frozen=True, kw_only=True):
    """What to execute. `env` is the whole environment, nothing is inherited but what
    `conditions` leave as it is.

    `stdin` is a file to read from instead of descriptor 0, as a path from `cwd`.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    stdin: str | None = None
    conditions: LaunchConditions = LaunchConditions()


class StartFailure(Struct, frozen=True):
    """Why nothing was executed, as the new process reports it. `errno` is 0 for a bug."""

    stage: str
    errno: int
    detail: str = ""


class GatedProcess(Leader):
    """The first process of a run: it waits at its gate, runs, ends, and is reaped here.

    One that an earlier server has made is past its gate, and reaped by whoever takes orphans.
    """

    def __init__(
        self, ref: ProcessRef, pidfd: int, *, gate: int = -1, report: int = -1, end: End
    ) -> None:
        """Takes over the three descriptors; -1 where there is none. `end` is how it ends."""
        super().__init__(ref, pidfd)
        self._gate = gate
        self._report = report
        self._end = end
        self._reported = b""
        self._at_gate: int | None = None
        self._reaped = False
        self._waiting = trio.Lock()

    def kept(self) -> dict[str, int]:
        """What somebody has to have in order to see its end: descriptors, by role."""
        return {PROCESS: self._pidfd, REPORT: self._report, **self._end.kept()}

    def open_gate(self) -> None:
        """Let it run. Call once, after its start is on disk."""
        with suppress(BrokenPipeError):  # Somebody killed it as it waited; its end will tell.
            os.write(self._gate, b"g")
        self.close_gate()

    def close_gate(self) -> None:
        """Send it home if it still waits; it then exits without having run anything."""
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1

    async def wait_exited(self) -> None:
        """Return once it has exited. It stays a zombie, so its pid cannot be reused yet."""
        async with self._waiting:  # a descriptor can be waited for by one task at a time
            if not self._reaped:
                await self._end.wait()

    @property
    def exited(self) -> bool:
        """Whether it has ended."""
        return self._reaped or self._end.come

    @property
    def number_is_free(self) -> bool:
        """See Leader."""
        return self._end.frees_number and self.exited

    def peek_status(self) -> int | None:
        """Its exit code, or minus the signal, without reaping; None if nobody knows.

        Only after it exited.
        """
        return _exit_code(self._end.status())

    @property
    def reaped(self) -> bool:
        """Whether `reap` has been called."""
        return self._reaped

    def reap(self) -> tuple[int | None, Usage | None]:
        """Its exit code, or minus the signal, and what the run used, if that is known.

        Only after it exited.
        """
        self.read_report()
        status, rusage = self._end.reap()
        self._reaped = True
        return _exit_code(status), measure(rusage, self.cgroup, self._at_gate)

    def read_report(self) -> None:
        """Take what it reported, and give the descriptor back. Only after it exited."""
        if self._report >= 0:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=self._report) as report:
                # It stays there for a later server, until its end is on disk.
                told = report.recv(launcher_child.REPORT_LIMIT, socket.MSG_PEEK)
            size, newline, failure = told.partition(b"\n")
            self._at_gate = int(size) * KIB if newline else None
            self._reported = failure if newline else told
            self._report = -1

    def start_failure(self, request: LaunchRequest) -> str | None:
        """Why the program could not be executed, in words; None if it was. Only after it exited."""
        self.read_report()
        if not self._reported:
            return None
        return _describe_failure(msgspec.json.decode(self._reported, type=StartFailure), request)

    def __enter__(self) -> Self:
        """Close with `with`."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the descriptors. A process still at its gate exits."""
        self.close_gate()
        if self._report >= 0:
            os.close(self._report)
        self._end.close()
        os.close(self._pidfd)


def _exit_code(status: int | None) -> int | None:
    return None if status is None else os.waitstatus_to_exitcode(status)


def _describe_failure(failure: StartFailure, request: LaunchRequest) -> str:
    code, program = failure.errno, request.argv[0]
    if failure.stage == "gate":
        return "the server went down before it began"
    if not code:
        return f"cannot start: {failure.detail}"
    why = _BETTER_WORDS.get(code, f"{os.strerror(code)} ({errno.errorcode.get(code, code)})")
    before = {
        "cgroup": "cannot enter its control group",
        "condition": f"cannot set {name_of(failure.detail)} for it",
        "cwd": f'cannot enter the working directory "{request.cwd}"',
        "stdin": f'cannot open "{request.stdin}", which it is to read',
    }
    if failure.stage in before:
        return f"{before[failure.stage]}: {why}"
    if failure.stage == "interpreter":
        what = f'the interpreter "{failure.detail}"' if failure.detail else "the loader"
        return f'cannot execute "{program}": {what} that it needs is missing (ENOENT)'
    if code == errno.ENOENT and "/" not in program:
        return f'cannot find the program "{program}" in PATH {request.env.get("PATH", os.defpath)}'
    return f'cannot execute "{program}": {why}'


class _LauncherGone(Exception):
    """The launcher process ended, or does not answer."""


class Launcher:
    """Owns the launcher process; starts it again if it dies. `close` ends it."""

    def __init__(self, *, open_files: int | None = None) -> None:
        """Starts nothing yet. `open_files` is the soft RLIMIT_NOFILE of what it will start."""
        self._open_files = open_files
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: trio.socket.SocketType | None = None
        self._turn = trio.Lock()

    def pids(self) -> set[int]:
        """The launcher process, if there is one."""
        return set() if self._process is None else {self._process.pid}

    async def launch(
        self,
        request: LaunchRequest,
        stdio: tuple[int, int, int],
        *,
        cgroup: int | None = None,
        watched: bool = False,
    ) -> GatedProcess:
        """A new process for `request`, waiting at its gate, with `stdio` as descriptors 0 to 2.

        `cgroup` is the directory of the control group that it is to be in. In one, it can be
        `watched` by a process that tells its end even if this server is gone. Raises LaunchError
        if there can be no process: no descriptors, no memory, no launcher.
        """
        body = _encode(request)
        fds = stdio if cgroup is None else (*stdio, cgroup)
        watched = watched and cgroup is not None
        try:
            try:
                return await self._launch(body, fds, watched=watched)
            except _LauncherGone:
                # Its own end is no reason for the run to fail. What it may have made on the way
                # waits at a gate that has closed: each attempt has a gate of its own.
                return await self._launch(body, fds, watched=watched)
        except _LauncherGone as exc:
            raise LaunchError(f"the launcher process is gone: {exc}") from exc
        except OSError as exc:
            raise LaunchError(f"cannot create a process: {exc.strerror}") from exc

    async def _launch(self, body: bytes, fds: tuple[int, ...], *, watched: bool) -> GatedProcess:
        with ExitStack() as theirs, ExitStack() as ours:
            gate_read, gate = _pipe(theirs, ours)
            report, report_write = _socket_pair(ours, theirs)
            told = -1
            if watched:
                told, telling = _socket_pair(ours, theirs)
                fds = (*fds, telling)
            child = await self._ask(body, (gate_read, report_write, *fds))
            theirs.close()  # or the end of what it tells would never come
            try:
                pid = await _pid_told(told) if watched else child
                # It waits at its gate, so the pid is its own.
                pidfd = os.pidfd_open(pid)
                ours.callback(os.close, pidfd)
                ref = procfs.identify(pid)
            except OSError:
                ours.close()
                with suppress(ChildProcessError):
                    os.waitpid(child, 0)  # noqa: ASYNC222 - its gate has closed: it exits at once
                raise
            ours.pop_all()
        end = WatchedEnd(told, pidfd, child) if watched else ChildEnd(pid, pidfd)
        return GatedProcess(ref, pidfd, gate=gate, report=report, end=end)

    async def _ask(self, body: bytes, fds: tuple[int, ...]) -> int:
        """The pid of the process made with `fds`. Raises OSError if there is none."""
        async with self._turn:
            channel = self._connect()
            answer = b""
            # Whoever asks must get its answer, or the next one would read it: no cancel between.
            with trio.move_on_after(PATIENCE_S, shield=True) as patience:
                try:
                    await _send(channel, body, fds)
                    answer = await channel.recv(launcher_child.LENGTH.size)
                except OSError as exc:
                    if exc.errno not in _GONE:
                        self.close()  # Half a request is in the channel.
                        raise
            if not answer:
                self.close()
                silent = f"it did not answer for {PATIENCE_S:g} s"
                raise _LauncherGone(silent if patience.cancelled_caught else "it ended")
        result: int = launcher_child.LENGTH.unpack(answer)[0]
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def _connect(self) -> trio.socket.SocketType:
        if self._channel is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with theirs:
                try:
                    self._process = self._start(theirs.fileno())
                except OSError:
                    ours.close()
                    raise
            ours.setblocking(False)  # noqa: FBT003 - the standard library's form
            self._channel = trio.socket.from_stdlib_socket(ours)
        return self._channel

    def _start(self, channel: int) -> subprocess.Popen[bytes]:
        limit = "" if self._open_files is None else str(self._open_files)
        program = str(Path(launcher_child.__file__))
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-E", program, str(channel), limit],
            pass_fds=(channel,),
            stdin=subprocess.DEVNULL,
            # A Ctrl-C in the server's terminal is for the server alone.
            start_new_session=True,
            # What waits at a gate shows the launcher's environment. If this server is itself part
            # of a run, it must not be taken for that run's.
            env={name: text for name, text in os.environ.items() if name[:8] != "RUNWIRE_"}
            | launcher_mark(),
        )

    def close(self) -> None:
        """End the launcher process. Processes it made are not touched."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _encode(request: LaunchRequest) -> bytes:
    """As `launcher_child` reads it: a character a byte, so no locale can change any of them."""
    try:
        return msgspec.json.encode(
            {
                "argv": [_as_bytes(part) for part in request.argv],
                "env": {_as_bytes(name): _as_bytes(text) for name, text in request.env.items()},
                "cwd": _as_bytes(request.cwd),
                "stdin": None if request.stdin is None else _as_bytes(request.stdin),
                "conditions": request.conditions,
            }
        )
    except UnicodeEncodeError as exc:
        raise LaunchError(f"its command or environment cannot be encoded: {exc.reason}") from exc


def _as_bytes(text: str) -> str:
    return text if text.isascii() else os.fsencode(text).decode("latin-1")


def take_over(ref: ProcessRef, kept: Mapping[str, int]) -> GatedProcess:
    """The process that an earlier server had as `ref` and of which it `kept` this."""
    pidfd = kept[PROCESS]
    end = WatchedEnd(kept[STATUS], pidfd) if STATUS in kept else OrphanEnd(pidfd)
    return GatedProcess(ref, pidfd, report=kept.get(REPORT, -1), end=end)


async def _pid_told(told: int) -> int:
    """What the one that watches it says first. Raises OSError if there is no process."""
    line = b""
    with trio.move_on_after(PATIENCE_S, shield=True):
        while not line.endswith(b"\n"):
            await trio.lowlevel.wait_readable(told)
            # Nothing beyond its end: the next line is for whoever asks how it ended.
            part = os.read(told, 1)
            if not part:
                break
            line += part
    number = int(line) if line.endswith(b"\n") else -errno.EIO
    if number < 0:
        raise OSError(-number, os.strerror(-number))
    return number


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed by those who own them."""
    read, write = os.pipe2(os.O_CLOEXEC)
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def _socket_pair(first: ExitStack, second: ExitStack) -> tuple[int, int]:
    """Two ends, of which what was said can be looked at and left there."""
    one, other = socket.socketpair()
    fds = one.detach(), other.detach()
    first.callback(os.close, fds[0])
    second.callback(os.close, fds[1])
    return fds


async def _send(channel: trio.socket.SocketType, body: bytes, fds: Sequence[int]) -> None:
    rights = array.array("i", fds).tobytes()
    view = memoryview(launcher_child.LENGTH.pack(len(body)) + body)
    sent = await channel.sendmsg([view], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    while view := view[sent:]:
        sent = await channel.send(view)
