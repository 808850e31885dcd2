"""Creates processes that wait at a gate, through the launcher process.

`Launcher.launch` gives a `GatedProcess`: it exists, has its own session and a pid that can be
recorded, and runs nothing until `open_gate`. If the server dies first, the gate closes with it and
the process exits: "dispatched but never started" is then certain, not a guess.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import trio
from msgspec import Struct

from supervisor import launcher_child, procfs
from supervisor.errors import LaunchError
from supervisor.model import ProcessRef, Usage
from supervisor.tree import Leader

_BETTER_WORDS = {
    errno.E2BIG: "its arguments and environment are larger than the system allows (E2BIG)",
    errno.ENOEXEC: 'it is not a program, and no "#!" line names one (ENOEXEC)',
}
REPORT_LIMIT = 4096


class LaunchRequest(Struct, frozen=True, kw_only=True):
    """What to execute. `env` is the whole environment, nothing is inherited."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str


class GatedProcess(Leader):
    """The first process of a run: it waits at its gate, runs, ends, and is reaped here."""

    def __init__(self, ref: ProcessRef, pidfd: int, gate: int, report: int) -> None:
        """Takes over the three descriptors."""
        super().__init__(ref, pidfd)
        self._pidfd = pidfd
        self._gate = gate
        self._report = report
        self._reaped = False

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
        while not self.exited:
            await trio.lowlevel.wait_readable(self._pidfd)

    @property
    def exited(self) -> bool:
        """Whether it has ended (waitid(2) with WNOWAIT)."""
        if self._reaped:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PIDFD, self._pidfd, options) is not None

    def peek_status(self) -> int:
        """Its exit code, or minus the signal, without reaping. Only after it exited."""
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
        assert result is not None  # noqa: S101 - no WNOHANG
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    @property
    def reaped(self) -> bool:
        """Whether `reap` has been called."""
        return self._reaped

    def reap(self) -> tuple[int, Usage]:
        """Its exit code, or minus the signal, and its CPU use (wait4(2)). Only after it exited."""
        _pid, status, rusage = os.wait4(self.ref.pid, 0)
        self._reaped = True
        usage = Usage(user_s=rusage.ru_utime, system_s=rusage.ru_stime)
        return os.waitstatus_to_exitcode(status), usage

    def start_failure(self, request: LaunchRequest) -> str | None:
        """Why the program could not be executed, in words; None if it was. Only after it exited."""
        report = os.read(self._report, REPORT_LIMIT)
        return _describe_failure(json.loads(report), request) if report else None

    def __enter__(self) -> Self:
        """Close with `with`."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _exc: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        """Close the descriptors. A process still at its gate exits."""
        self.close_gate()
        os.close(self._report)
        os.close(self._pidfd)


def _describe_failure(report: list[object], request: LaunchRequest) -> str:
    stage, number, *rest = report
    if rest:
        return f"cannot start: {rest[0]}"
    code = int(str(number))
    why = f"{os.strerror(code)} ({errno.errorcode.get(code, code)})"
    program = request.argv[0]
    if stage == "cwd":
        return f'cannot enter the working directory "{request.cwd}": {why}'
    if code == errno.ENOENT and "/" not in program:
        return f'cannot find the program "{program}" in PATH {request.env.get("PATH", os.defpath)}'
    if stage == "interpreter":
        why = 'the interpreter that its "#!" line names is missing (ENOENT)'
    return f'cannot execute "{program}": {_BETTER_WORDS.get(code, why)}'


class Launcher:
    """Owns the launcher process; starts it again if it dies. `close` ends it."""

    def __init__(self, *, open_files: int | None = None) -> None:
        """Starts nothing yet. `open_files` is the soft RLIMIT_NOFILE of what it will start."""
        self._open_files = open_files
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: trio.socket.SocketType | None = None
        self._turn = trio.Lock()

    async def launch(self, request: LaunchRequest, stdio: tuple[int, int, int]) -> GatedProcess:
        """A new process for `request`, waiting at its gate, with `stdio` as descriptors 0 to 2.

        Raises LaunchError if there can be no process: no descriptors, no memory, no launcher.
        """
        with ExitStack() as undo:
            try:
                gate_read, gate = _pipe(undo)
                report, report_write = _pipe(undo)
            except OSError as exc:
                raise LaunchError(f"cannot make a pipe: {exc.strerror}") from exc
            # Whoever asks must get its answer, or the next one would read it: no cancel between.
            with trio.CancelScope(shield=True):
                pid = await self._ask(request, (*stdio, gate_read, report_write))
            try:
                # The child is not reaped, so its pid is its own.
                pidfd = os.pidfd_open(pid)
            except OSError as exc:
                os.close(gate)
                os.waitpid(pid, 0)  # noqa: ASYNC222 - its gate has closed: it exits at once
                raise LaunchError(f"cannot open a pidfd: {exc.strerror}") from exc
            undo.pop_all()
            os.close(gate_read)
            os.close(report_write)
            return GatedProcess(procfs.identify(pid), pidfd, gate, report)

    async def _ask(self, request: LaunchRequest, fds: tuple[int, ...]) -> int:
        body = json.dumps({"argv": request.argv, "env": request.env, "cwd": request.cwd}).encode()
        head = launcher_child.LENGTH.pack(len(body))
        async with self._turn:
            channel = self._connect()
            try:
                await _send_fds(channel, head, fds)
                await _send_all(channel, body)
                answer = await channel.recv(launcher_child.LENGTH.size)
            except OSError as exc:
                self.close()
                raise LaunchError(f"the launcher process is gone: {exc.strerror}") from exc
            if not answer:
                self.close()
                raise LaunchError("the launcher process ended unexpectedly")
        result: int = launcher_child.LENGTH.unpack(answer)[0]
        if result < 0:
            raise LaunchError(f"cannot create a process: {os.strerror(-result)}")
        return result

    def _connect(self) -> trio.socket.SocketType:
        if self._channel is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with theirs:
                program = str(Path(launcher_child.__file__))
                limit = "" if self._open_files is None else str(self._open_files)
                try:
                    self._process = subprocess.Popen(
                        [sys.executable, "-I", "-S", "-E", program, str(theirs.fileno()), limit],
                        pass_fds=(theirs.fileno(),),
                        stdin=subprocess.DEVNULL,
                        # A Ctrl-C in the server's terminal is for the server alone.
                        start_new_session=True,
                    )
                except OSError as exc:
                    ours.close()
                    raise LaunchError(f"cannot start the launcher: {exc.strerror}") from exc
            ours.setblocking(False)  # noqa: FBT003 - the standard library's form
            self._channel = trio.socket.from_stdlib_socket(ours)
        return self._channel

    def close(self) -> None:
        """End the launcher process. Processes it made are not touched."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _pipe(undo: ExitStack) -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    undo.callback(os.close, read)
    undo.callback(os.close, write)
    return read, write


async def _send_fds(channel: trio.socket.SocketType, head: bytes, fds: Sequence[int]) -> None:
    rights = (
        socket.SOL_SOCKET,
        socket.SCM_RIGHTS,
        b"".join(launcher_child.LENGTH.pack(fd) for fd in fds),
    )
    # Four bytes either fit or do not: a partial send cannot happen here.
    await channel.sendmsg([head], [rights])


async def _send_all(channel: trio.socket.SocketType, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[await channel.send(view) :]
