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
report), then that many bytes of JSON: {"argv": [..], "env": {..}, "cwd": ".."}.
Reply: 4 bytes, the pid, or the errno below zero.
Report, only if the start fails: JSON [stage, errno], stage being "cwd", "program" or "interpreter".
"""

from __future__ import annotations

import array
import ctypes
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
        answer = clone()
        if answer == 0:
            _become(json.loads(request), fds)
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
    data = b""
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _become(request: dict[str, object], fds: list[int]) -> NoReturn:
    """Turn into the program, or report why not. Runs in the new process only."""
    stdin, stdout, stderr, gate, report = fds
    stage = "program"
    try:
        os.setsid()
        _restore_signals()
        for number, fd in enumerate((stdin, stdout, stderr)):
            os.dup2(fd, number)
        if os.read(gate, 1) == b"":
            os._exit(NEVER_STARTED)
        stage = "cwd"
        os.chdir(os.fsencode(str(request["cwd"])))
        stage = "program"
        argv = [os.fsencode(part) for part in request["argv"]]  # type: ignore[attr-defined]
        env = {
            os.fsencode(name): os.fsencode(value)
            for name, value in request["env"].items()  # type: ignore[attr-defined]
        }
        try:
            os.execvpe(argv[0], argv, env)
        except FileNotFoundError:
            # The file is there, so what is missing is the interpreter its first line names.
            stage = "interpreter" if b"/" in argv[0] and os.access(argv[0], os.F_OK) else "program"
            raise
    except OSError as exc:
        os.write(report, json.dumps([stage, exc.errno]).encode())
    except BaseException as exc:  # noqa: BLE001 - it must not go on as a second launcher
        os.write(report, json.dumps([stage, 0, repr(exc)]).encode())
    os._exit(NEVER_STARTED)


def _restore_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ; a program expects the defaults (signal(7))."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    main()
