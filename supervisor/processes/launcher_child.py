"""The launcher: a small process of its own that creates the processes of runs.

It is started as `python -I -S -E launcher_child.py FD LIMIT`, uses the standard library only and
reads requests from the stream socket FD. LIMIT, unless empty, is the soft limit of open files that
it and what it starts shall have. For each it makes one process, which waits at a gate; when a
byte comes through the gate it changes directory and executes the program, and when the gate
closes instead it exits without having run anything. Why a process and not a shell script: the
reasons of a failed start arrive as exact errno values, the environment arrives byte for byte, and
the server never forks its own big, busy self.

New processes are made with CLONE_PARENT (clone(2)): they are children of the server, not of the
launcher, so the server waits for them and the launcher may die without taking anything along.

Request: 4 bytes length (native order) carrying five descriptors (gate, report, stdin, stdout,
stderr), six (the directory of the control group to be in) or seven (where to tell how it ended), then that many bytes of JSON:
{"argv": [..], "env": {..}, "cwd": "..", "stdin": "..", "conditions": {..}}, where each character
below 256 stands for the byte of that value; stdin is null, or a file to read from instead of the
descriptor, and the conditions are `LaunchConditions` of `supervisor.processes.conditions`.
Reply: 4 bytes, the pid, or the errno below zero.
With seven, a process between watches it, as the one of which it is a child: it tells its pid in a
line, or minus an errno, and when it has ended another line: what wait4(2) tells, that is its
status, its seconds of CPU time as user and in the kernel, and its largest size in KiB.

Report: a line with the largest size in KiB of the new process when it came to its gate; then, only
if the start fails, perhaps without that line: JSON {"stage", "errno", "detail"}, stage being "gate"
(it closed), "cgroup", "condition" (`detail` then names it), "cwd", "stdin", "program" or "interpreter" (which `detail`
then names). All of it has at most REPORT_LIMIT bytes.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import gc
import json
import os
import resource
import signal
import socket
import stat
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any, NoReturn

_MANY = 1 << 20
"""More descriptors than a process has."""
LENGTH = struct.Struct("=i")
Request = tuple[list[bytes], list[bytes], dict[bytes, bytes], bytes, bytes | None, dict[str, Any]]
"""Where the program may be, argv, env, cwd, stdin, conditions."""
DESCRIPTORS = 5
_CGROUP = 5
"""The place among the descriptors of the one that need not be there."""
_STATUS = 6
"""The place of the one that need not be there either, after that."""
_NO_CLONE_INTO = frozenset({-errno.ENOSYS, -errno.EPERM, -errno.E2BIG, -errno.EINVAL})
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})
REPORT_LIMIT = 4096
NEVER_STARTED = 125
"""Exit status of a process whose gate closed. Nobody ever shows it: the run was not started."""

_CLONE_PARENT = 0x00008000
_CLONE_INTO_CGROUP = 0x200000000
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "loongarch64": 220, "ppc64le": 120}
_SYS_CLONE3 = 435
_SYS_IOPRIO_SET = {"x86_64": 251, "ppc64le": 273}
_SYS_IOPRIO_SET_ELSEWHERE = 30
_IOPRIO_WHO_PROCESS = 1
_LIBC = ctypes.PyDLL(None, use_errno=True)
"""Loaded beforehand: a new process would take a third of a millisecond for it."""
_CLONE_ARGS = struct.Struct("=11Q")


def main() -> None:
    """Serve requests until the server closes the socket."""
    gc.disable()
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    if sys.argv[2]:
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), hard))
    _be_no_exception()
    _heed_signals()
    clone, clone_into = _clone_parent(), _clone_into()
    while True:
        head, fds = _receive(channel)
        if len(head) < LENGTH.size:
            return
        request = _parse(_read_exactly(channel, LENGTH.unpack(head)[0]))
        answer = -errno.ENOSYS
        # Who watches it must not be in its group: all in that are killed when it is stopped.
        entered = len(fds) == _CGROUP + 1
        if len(fds) < DESCRIPTORS:
            # The kernel had no room for them in this process (recvmsg(2), MSG_CTRUNC).
            answer = -errno.EMFILE
        elif entered:
            answer = clone_into(fds[_CGROUP])
        if answer in _NO_CLONE_INTO:
            # An old kernel, or a container that forbids clone3: it goes in by itself.
            entered = False
            answer = clone()
        if answer == 0:
            become = _become if len(fds) <= _STATUS else _watch
            become(request, fds if not entered else fds[:_CGROUP])
        for fd in fds:
            os.close(fd)
        channel.sendall(LENGTH.pack(answer))


def _be_no_exception() -> None:
    """What protects the server when memory runs out is not for what it runs (proc_pid_oom_score_adj(5))."""
    with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:  # noqa: PTH123 - no pathlib here
        if int(file.read()) < 0:
            file.write(b"0")


def _heed_signals() -> None:
    """What it starts inherits this: Python ignores some, and whoever started the server may more."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _clone_parent() -> Callable[[], int]:
    """A function like fork(2) that makes siblings: pid to the caller, 0 to the new process."""
    number = _SYS_CLONE[os.uname().machine]
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def clone() -> int:
        pid = libc.syscall(
            ctypes.c_long(number), ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD), 0, 0, 0, 0
        )
        return int(pid) if pid >= 0 else -ctypes.get_errno()

    return clone


def _clone_into() -> Callable[[int], int]:
    """As `_clone_parent`, but the new process begins in a control group: clone3(2)."""
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def clone_into(cgroup: int) -> int:
        # With CLONE_PARENT the exit signal is that of the caller, and has to be 0 here.
        flags = _CLONE_PARENT | _CLONE_INTO_CGROUP
        arguments = _CLONE_ARGS.pack(flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, cgroup)
        pid = libc.syscall(ctypes.c_long(_SYS_CLONE3), arguments, ctypes.c_long(len(arguments)))
        return int(pid) if pid >= 0 else -ctypes.get_errno()

    return clone_into


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """The head of the next request and its descriptors, closed on exec from the start.

    socket.recv_fds would not do: it drops the flag.
    """
    fds = array.array("i")
    head, ancillary, _flags, _address = channel.recvmsg(
        LENGTH.size, socket.CMSG_SPACE((DESCRIPTORS + 2) * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for _level, _type, data in ancillary:
        fds.frombytes(data)
    return head, list(fds)


def _read_exactly(channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            sys.exit()  # The server fell in the middle of a request.
        data += part
    return bytes(data)


def _parse(body: bytes) -> Request:
    """Here and not in the new process: what it does not do costs it no copy of a page."""
    request = json.loads(body)
    argv = [_to_bytes(part) for part in request["argv"]]
    env = {_to_bytes(name): _to_bytes(text) for name, text in request["env"].items()}
    stdin = None if request["stdin"] is None else _to_bytes(request["stdin"])
    places = _candidates(argv[0], env)
    return places, argv, env, _to_bytes(request["cwd"]), stdin, request.get("conditions", {})


def _watch(request: Request, fds: list[int]) -> NoReturn:
    """Have a child turn into the program, and tell its pid and in the end how it ended."""
    status = fds.pop(_STATUS)
    try:
        pid = os.fork()
    except OSError as exc:
        os.write(status, b"%d\n" % -(exc.errno or errno.EAGAIN))
        os._exit(0)
    if pid == 0:
        os.close(status)
        _become(request, fds)
    os.write(status, b"%d\n" % pid)
    # Whatever it kept open would seem to be the program's.
    os.closerange(0, status)
    os.closerange(status + 1, _MANY)
    _pid, code, usage = os.wait4(pid, 0)
    told = code, usage.ru_utime, usage.ru_stime, usage.ru_maxrss
    os.write(status, b"%d %f %f %d\n" % told)
    os._exit(0)


def _become(request: Request, fds: list[int]) -> NoReturn:
    """Turn into the program, or report why not. Runs in the new process only."""
    try:
        failure = _execute(request, fds)
    except BaseException as exc:  # noqa: BLE001 - it must not go on as a second launcher
        failure = "program", 0, repr(exc)
    stage, code, detail = failure
    # Escaped, a character takes up to 12 bytes.
    report = {"stage": stage, "errno": code, "detail": detail[: REPORT_LIMIT // 16]}
    os.write(fds[1], json.dumps(report).encode())
    os._exit(NEVER_STARTED)


def _execute(request: Request, fds: list[int]) -> tuple[str, int, str]:
    """Wait at the gate, then execute. Returns why it could not: stage, errno, detail."""
    os.setsid()
    if len(fds) > _CGROUP:
        try:
            _enter(fds[_CGROUP])
        except OSError as exc:
            return "cgroup", exc.errno or 0, ""
    for number, fd in enumerate(fds[2:DESCRIPTORS]):
        os.dup2(fd, number)
    if os.isatty(0):
        # Ctrl-C typed on it is for this session from here on: tty_ioctl(4).
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.write(fds[1], b"%d\n" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    if os.read(fds[0], 1) == b"":
        return "gate", 0, ""
    places, argv, env, cwd, stdin, conditions = request
    unmet = _meet(conditions)
    if unmet is not None:
        return "condition", *unmet
    return _settle(cwd, stdin) or _execute_program(places, argv, env)


def _settle(cwd: bytes, stdin: bytes | None) -> tuple[str, int, str] | None:
    """Be where the program is to begin, with what it is to read. Returns why that cannot be."""
    stage = "cwd"
    try:
        os.chdir(cwd)
        stage = "stdin"
        if stdin is not None:
            os.dup2(os.open(stdin, os.O_RDONLY | os.O_CLOEXEC), 0)
    except OSError as exc:
        return stage, exc.errno or 0, ""
    return None


def _execute_program(
    places: list[bytes], argv: list[bytes], env: dict[bytes, bytes]
) -> tuple[str, int, str]:
    failures: list[OSError] = []
    # An exception for each place where it is not would take longer than the look.
    for path in [place for place in places if os.access(place, os.X_OK)] or places:
        try:
            os.execve(path, argv, env)
        except OSError as exc:
            failures.append(exc)
    # As a shell does: a program that is there and cannot be executed is the better reason.
    failures.sort(key=lambda exc: exc.errno in _NOT_THERE)
    code = failures[0].errno or 0
    missing = _missing_interpreter(places) if code == errno.ENOENT else None
    return ("program", code, "") if missing is None else ("interpreter", code, missing)


def _meet(conditions: dict[str, Any]) -> tuple[int, str] | None:
    """Have the program's conditions hold from here on; else the errno and what cannot be had."""
    name = ""
    try:
        for name, value in conditions.items():
            match name:
                case "nice":
                    os.setpriority(os.PRIO_PROCESS, 0, value)
                case "ionice":
                    _set_io_priority(value)
                case "umask":
                    os.umask(value)
                case "user":
                    _become_user(*value)
                case _:
                    resource.setrlimit(*value)
    except ValueError:  # the resource module's word for more than the hard limit
        return errno.EPERM, name
    except OSError as exc:
        return exc.errno or 0, name
    return None


def _become_user(uid: int, gid: int, groups: list[int]) -> None:
    """For good: the saved ids too, so that nothing leads back."""
    for fd in range(3):
        # Or it could not open its own /dev/stdout or terminal; what others use is left alone.
        if stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd):
            os.fchown(fd, uid, gid)
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _set_io_priority(priority: int) -> None:
    number = _SYS_IOPRIO_SET.get(os.uname().machine, _SYS_IOPRIO_SET_ELSEWHERE)
    if _LIBC.syscall(ctypes.c_long(number), _IOPRIO_WHO_PROCESS, 0, priority) < 0:
        raise OSError(ctypes.get_errno(), "ioprio_set")


def _enter(cgroup: int) -> None:
    members = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=cgroup)
    os.write(members, b"0")
    os.close(members)


def _candidates(program: bytes, env: dict[bytes, bytes]) -> list[bytes]:
    """Where `program` may be. As os.execvpe, which imports and guards much on its way, does it."""
    if b"/" in program:
        return [program]
    places = env.get(b"PATH", os.defpath.encode()).split(b":")
    return [os.path.join(place, program) for place in places]  # noqa: PTH118 - bytes


def _to_bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _missing_interpreter(places: list[bytes]) -> str | None:
    """What a program that is there needs and that is not there: execve(2) says ENOENT for both.

    Empty if that is no interpreter named by a "#!" line, but what loads it.
    """
    for path in places:
        if os.access(path, os.X_OK):
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                line = file.readline(256)
            words = line[2:].split() if line.startswith(b"#!") else []
            return words[0].decode("utf-8", "replace") if words else ""
    return None


if __name__ == "__main__":
    try:  # noqa: SIM105 - contextlib takes its time
        main()
    except ConnectionError:
        pass  # The server was killed. The gate of what was being made has closed with it.
