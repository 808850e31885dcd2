"""A program with a tree that does not want to end: 28 processes, in every way of getting away.

Its one argument is a tag that all of them show in their command line; with a second one, `hop`,
there is also one that forks and exits all the time. It writes `ready` when each is what it shall be:
when nobody holds the writing end of the pipe `settled` any more, which closes with an execve(2).
"""

import os
import signal
import sys
import time
from collections.abc import Callable

PYTHON = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)")


settled, unsettled = os.pipe()


def sleep() -> None:
    os.close(unsettled)
    time.sleep(600)


def ignore() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep()


def regroup() -> None:
    os.setpgid(0, 0)
    sleep()


def escape() -> None:
    os.setsid()
    sleep()


def double() -> None:
    """The classic daemon: its parent is gone when it begins."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sleep()
    os._exit(0)


def clear() -> None:
    """A daemon that nothing in its environment tells about."""
    if os.fork() == 0:
        os.setsid()
        os.execve(PYTHON[0], [*PYTHON, sys.argv[1]], {})
    os._exit(0)


def hop() -> None:
    os.setsid()
    os.close(unsettled)
    while os.fork() == 0:
        pass
    os._exit(0)


def start(way: Callable[[], None]) -> None:
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        way()


WAYS = [sleep, sleep, ignore, regroup, escape, double, clear, *[sleep] * 20]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for each in WAYS:
    start(each)
if sys.argv[2:] == ["hop"]:
    start(hop)
os.close(unsettled)
os.read(settled, 1)
os.write(1, b"ready\n")
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
time.sleep(600)
