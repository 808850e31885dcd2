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

Request: 4 bytes length (native order) carrying five descriptors (stdin, stdout, stderr, gate,
report), then that many bytes of JSON: {"argv": [..], "env": {..}, "cwd": ".."}, where each
character below 256 stands for the byte of that value.
Reply: 4 bytes, the pid, or the errno below zero.
Report, only if the start fails: JSON {"stage", "errno", "detail"}, stage being "cwd", "program" or
"interpreter" (which `detail` then names). It has at most REPORT_LIMIT bytes.
"""

from __future__ import annotations

import array
import ctypes
import errno
import gc
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import NoReturn

LENGTH = struct.Struct("=i")
DESCRIPTORS = 5
REPORT_LIMIT = 4096
NEVER_STARTED = 125
"""Exit status of a process whose gate closed. Nobody ever shows it: the run was not started."""

_CLONE_PARENT = 0x00008000
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "loongarch64": 220, "ppc64le": 120}


def main() -> None:
    """Serve requests until the server closes the socket."""
    gc.disable()
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    if sys.argv[2]:
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), hard))
    clone = _clone_parent()
    while True:
        head, fds = _receive(channel)
        if len(head) < LENGTH.size:
            return
        request = _read_exactly(channel, LENGTH.unpack(head)[0])
        # Too few: the kernel had no room for them in this process (recvmsg(2), MSG_CTRUNC).
        answer = clone() if len(fds) == DESCRIPTORS else -errno.EMFILE
        if answer == 0:
            _become(request, fds)
        for fd in fds:
            os.close(fd)
        channel.sendall(LENGTH.pack(answer))


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


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """The head of the next request and its descriptors, closed on exec from the start.

    socket.recv_fds would not do: it drops the flag.
    """
    fds = array.array("i")
    head, ancillary, _flags, _address = channel.recvmsg(
        LENGTH.size, socket.CMSG_SPACE(DESCRIPTORS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
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


def _become(body: bytes, fds: list[int]) -> NoReturn:
    """Turn into the program, or report why not. Runs in the new process only."""
    try:
        failure = _execute(body, fds)
    except BaseException as exc:  # noqa: BLE001 - it must not go on as a second launcher
        failure = "program", 0, repr(exc)
    stage, code, detail = failure
    # Escaped, a character takes up to 12 bytes.
    report = {"stage": stage, "errno": code, "detail": detail[: REPORT_LIMIT // 16]}
    os.write(fds[4], json.dumps(report).encode())
    os._exit(NEVER_STARTED)


def _execute(body: bytes, fds: list[int]) -> tuple[str, int, str]:
    """Wait at the gate, then execute. Returns why it could not: stage, errno, detail."""
    os.setsid()
    _restore_signals()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    if os.read(fds[3], 1) == b"":
        os._exit(NEVER_STARTED)
    request = json.loads(body)
    argv = [_to_bytes(part) for part in request["argv"]]
    env = {_to_bytes(name): _to_bytes(text) for name, text in request["env"].items()}
    try:
        os.chdir(_to_bytes(request["cwd"]))
    except OSError as exc:
        return "cwd", exc.errno or 0, ""
    try:
        os.execvpe(argv[0], argv, env)
    except FileNotFoundError as exc:
        missing = _missing_interpreter(argv[0], env)
        if missing is not None:
            return "interpreter", errno.ENOENT, missing
        return "program", exc.errno or 0, ""
    except OSError as exc:
        return "program", exc.errno or 0, ""


def _to_bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _missing_interpreter(program: bytes, env: dict[bytes, bytes]) -> str | None:
    """What a program that is there needs and that is not there: execve(2) says ENOENT for both.

    Empty if that is no interpreter named by a "#!" line, but what loads it.
    """
    places = [b""] if b"/" in program else env.get(b"PATH", os.defpath.encode()).split(b":")
    for place in places:
        path = os.path.join(place, program)  # noqa: PTH118 - bytes
        if os.access(path, os.X_OK):
            with open(path, "rb") as file:  # noqa: PTH123 - bytes
                line = file.readline(256)
            words = line[2:].split() if line.startswith(b"#!") else []
            return words[0].decode("utf-8", "replace") if words else ""
    return None


def _restore_signals() -> None:
    """All as a program expects them: Python ignores some, and whoever started us may have more."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    main()
